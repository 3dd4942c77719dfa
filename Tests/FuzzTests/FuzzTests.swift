// What libFuzzer found once, and a little of what it would do: the same mutations in every run.
import Foundation
import GraderKit
import XCTest

final class FuzzTests: XCTestCase {
    /// Each file is named TARGET-WHAT, and was an input that broke something.
    func testWhatBrokeOnceHolds() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Regressions")
        let files = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        for file in files where file.lastPathComponent != "README.md" {
            let name = file.lastPathComponent
            guard let target = FuzzTarget.all.first(where: { name.hasPrefix($0.name + "-") }) else {
                XCTFail("\(name) belongs to no target")
                continue
            }
            XCTAssertNoThrow(try target.run(Array(try Data(contentsOf: file))), name)
        }
    }

    func testSeedsHold() {
        for target in FuzzTarget.all {
            for seed in target.seeds {
                XCTAssertNoThrow(try target.run(seed), "\(target.name): \(String(decoding: seed, as: UTF8.self))")
            }
        }
    }

    func testMutationsHold() {
        for target in FuzzTarget.all {
            var random = SeededGenerator(seed: 20_260)
            for _ in 0..<300 {
                let input = mutated(target.seeds, &random)
                XCTAssertNoThrow(try target.run(input), "\(target.name): \(input)")
            }
        }
    }

    /// One of the seeds with a few changes, such as a network, a mistake or an enemy makes.
    private func mutated(_ seeds: [[UInt8]], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = seeds.randomElement(using: &random) ?? []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let start = Int.random(in: 0...bytes.count, using: &random)
            let end = Int.random(in: start...min(bytes.count, start + 12), using: &random)
            switch Int.random(in: 0..<7, using: &random) {
            case 0: bytes.removeSubrange(start..<end)
            case 1: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: start)
            case 3: bytes.insert([0, 10, 13, 32, 58, 127, 255].randomElement(using: &random) ?? 0, at: start)
            case 4: if start < bytes.count { bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
            case 5: bytes = Array(bytes[..<start]) + (seeds.randomElement(using: &random) ?? []).suffix(40)
            default: bytes.insert(contentsOf: "18446744073709551616".utf8, at: start)
            }
        }
        return bytes
    }
}
