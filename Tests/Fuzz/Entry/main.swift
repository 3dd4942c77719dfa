// Hands libFuzzer its target (https://llvm.org/docs/LibFuzzer.html). FUZZ_TARGET names it; FUZZ_SEEDS is a folder to put the
// first inputs into.
import Foundation

// SwiftPM gives every program a main of its own, so libFuzzer's is not used; this is what it would call.
@_silgen_name("LLVMFuzzerRunDriver")
func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

let environment = ProcessInfo.processInfo.environment
let named = FuzzTarget.all.first { $0.name == environment["FUZZ_TARGET"] }
guard let named else {
    print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
    exit(2)
}
let target = named
if let folder = environment["FUZZ_SEEDS"] {
    for (index, seed) in target.seeds.enumerated() {
        try Data(seed).write(to: URL(fileURLWithPath: folder).appendingPathComponent("seed-\(index)"))
    }
}

/// libFuzzer wants it by this name, too.
@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    do { try target.run(Array(UnsafeBufferPointer(start: start, count: count))) } catch { fatalError("\(error)") }
    return 0
}

var count = CommandLine.argc
var arguments = CommandLine.unsafeArgv
exit(runDriver(&count, &arguments, testOneInput))
