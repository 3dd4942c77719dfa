// swift-tools-version: 6.0
import PackageDescription

// One line a lesson. The slug names its folders in Lessons, Exercises and Solutions; its number names the
// targets (Lesson04 is the student's program, Solution04 the reference) and the XCTest class that grades it.
// `lab new lesson` adds the next line.
let lessons = [
    "01-byte-order",
    "02-addresses",
    "03-udp",
    "04-tcp",
    "05-framing",
    "06-select",
    "07-epoll",
    "08-http",
    "09-websocket",
    "10-options",
    "11-errors",
    "12-concurrency",
    "13-throughput",
    "14-chat-room",
    "15-unix-and-raw",
    "16-production",
]

/// The references of earlier lessons that a lesson builds on: its student is given them, too.
let given = ["14-chat-room": ["Solution05", "Solution09"], "16-production": ["Solution08", "Solution09"]]

func number(_ slug: String) -> String { String(slug.prefix(2)) }

/// The student's program. It is built in the Swift 5 language mode: a lesson on sockets should not fail a
/// student over `Sendable`.
func exercise(_ slug: String) -> Target {
    .executableTarget(
        name: "Lesson" + number(slug),
        dependencies: ["Course", "LessonHost", "Sockets"] + given[slug, default: []].map { .init(stringLiteral: $0) },
        path: "Exercises/" + slug,
        swiftSettings: [.swiftLanguageMode(.v5)])
}

/// The reference implementation of the same contract, a library that `lab` links.
func solution(_ slug: String) -> Target {
    .target(
        name: "Solution" + number(slug),
        dependencies: ["Course", "Sockets"] + given[slug, default: []].map { .init(stringLiteral: $0) },
        path: "Solutions/" + slug)
}

let package = Package(
    name: "SocketLab",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "lab", targets: ["lab"])],
    targets: lessons.map(exercise) + lessons.map(solution) + [
        // C that Swift cannot import from libc, and the tap under every lesson process.
        .target(name: "CSockets"),
        .target(name: "CTapRecord"),
        .target(name: "CTap", dependencies: ["CTapRecord"]),

        // What lesson code uses.
        .target(name: "SocketConstants"),
        .target(name: "Sockets", dependencies: ["CSockets", "SocketConstants"]),
        .target(name: "Course", dependencies: ["Sockets"]),
        .target(name: "LessonHost", dependencies: ["Course", "CTap", "Sockets"]),

        // What judges it.
        .target(name: "Wire", dependencies: ["Course", "CTapRecord", "Sockets"]),
        .target(name: "GraderKit", dependencies: ["Course", "CTapRecord", "Sockets", "Wire"]),
        .target(name: "Graders", dependencies: ["Course", "GraderKit", "Sockets", "Wire"]),

        // What shows it.
        .target(name: "LabCore", dependencies: ["Course", "GraderKit", "Graders", "Sockets", "Wire"]),
        .executableTarget(
            name: "lab",
            dependencies: ["Course", "GraderKit", "Graders", "LabCore", "LessonHost", "Sockets", "Wire"]
                + lessons.map { .init(stringLiteral: "Solution" + number($0)) }),

        // What `lab bench` runs, built for release when it is asked for: the references without the tap, what they are
        // compared with, and what drives both.
        .target(name: "CAnnounce"),
        .executableTarget(
            name: "BenchServer",
            dependencies: ["CAnnounce", "Course", "Sockets"]
                + ["03", "04", "06", "07", "08", "09", "12", "14"].map { .init(stringLiteral: "Solution" + $0) }),
        .executableTarget(name: "Yardstick"),
        .executableTarget(name: "BenchLoad"),

        .testTarget(
            name: "GraderTests", dependencies: ["Course", "GraderKit", "Graders", "LabCore"],
            path: "Tests/Graders"),
        .testTarget(name: "LabCoreTests", dependencies: ["Course", "GraderKit", "LabCore", "Sockets", "Wire"]),
        .testTarget(
            name: "LabTests",
            dependencies: ["Course", "GraderKit", "Graders", "LabCore", "Sockets", "Solution09", "Wire"]),
        // References from the inside: the protocols that they implement without I/O.
        .testTarget(name: "SolutionTests", dependencies: ["Course", "GraderKit", "Solution08", "Solution09"]),
        .testTarget(name: "SocketsTests", dependencies: ["Sockets"]),
        .testTarget(
            name: "FuzzTests", dependencies: ["Course", "GraderKit", "Solution05", "Solution08", "Solution09"],
            exclude: ["Regressions"]),
        // A program that misbehaves on demand. The test bundle does not depend on it, as it does not on the exercises: an
        // executable that a test target depends on is linked into the tests, and the tap with it.
        .executableTarget(
            name: "TapProbe", dependencies: ["Course", "GraderKit", "LessonHost", "Sockets"], path: "Tests/TapProbe",
            swiftSettings: [.swiftLanguageMode(.v5)]),
        .testTarget(name: "TapTests", dependencies: ["Course", "GraderKit", "Sockets", "Wire"]),
        .target(
            name: "SyntheticTap", dependencies: ["CTapRecord", "Sockets", "Wire"], path: "Tests/SyntheticTap"),
        .testTarget(name: "WireTests", dependencies: ["Course", "CTapRecord", "Sockets", "SyntheticTap", "Wire"]),
        .testTarget(
            name: "GraderKitTests", dependencies: ["Course", "GraderKit", "Sockets", "SyntheticTap", "Wire"]),
    ]
)
