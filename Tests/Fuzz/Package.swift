// swift-tools-version: 6.0
// The decoders under libFuzzer and the address sanitizer: `.ci/fuzz` builds and runs it. A package of its own, so that nobody
// else's build gets longer; the sources are those of the lab, by symbolic links.
import PackageDescription

let instrumented: [SwiftSetting] = [.unsafeFlags(["-sanitize=fuzzer,address", "-enable-testing"])]

func solution(_ slug: String) -> Target {
    .target(
        name: "Solution" + slug.prefix(2), dependencies: ["Course", "Sockets"], path: "Solutions/" + slug,
        swiftSettings: instrumented)
}

let package = Package(
    name: "Fuzz",
    targets: [
        .target(name: "CSockets"),
        .target(name: "SocketConstants"),
        .target(name: "Sockets", dependencies: ["CSockets", "SocketConstants"]),
        .target(name: "Course", dependencies: ["Sockets"]),
        solution("05-framing"),
        solution("08-http"),
        solution("09-websocket"),
        .executableTarget(
            name: "Fuzz", dependencies: ["Course", "Solution05", "Solution08", "Solution09"], path: "Entry",
            swiftSettings: [.unsafeFlags(["-sanitize=fuzzer,address"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
    ]
)
