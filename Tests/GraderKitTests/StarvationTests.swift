// A process that wants to run and may not is told apart from one that waits.
import Foundation
import Sockets
import Synchronization
import XCTest

@testable import GraderKit

final class StarvationTests: XCTestCase {
    func testWhatIsNotReadyHasAllTheTime() {
        let starvation = Starvation()
        XCTAssertEqual(starvation.time, .max)
        starvation.hasBegun()
        XCTAssertEqual(starvation.time, .max)
        starvation.isProcess(getpid())
        XCTAssertLessThan(starvation.time, .max)
    }

    /// One that sleeps is not starved, however busy the machine is: it wakes a few times.
    func testASleeperIsNotStarved() throws {
        let sleeper = Process()
        sleeper.executableURL = URL(fileURLWithPath: "/bin/sleep")
        sleeper.arguments = ["1"]
        try sleeper.run()
        let starvation = Starvation()
        starvation.isProcess(sleeper.processIdentifier)
        starvation.hasBegun()
        let atStart = starvation.time
        poll(nil, 0, 300)
        XCTAssertLessThan(starvation.time - min(atStart, starvation.time), 200_000_000)
        sleeper.waitUntilExit()
        // What was known stays known.
        XCTAssertLessThan(starvation.time, .max)
    }

    /// More threads that never rest than processors: some of them must stand in line.
    func testThreadsWithoutAProcessorAreStarved() throws {
        let count = ProcessInfo.processInfo.activeProcessorCount + 2
        let flag = Flag()
        let ended = DispatchGroup()
        let starvation = Starvation()
        starvation.isProcess(getpid())
        starvation.hasBegun()
        let before = starvation.time
        for _ in 0..<count {
            ended.enter()
            try startThread {
                while flag.goesOn.load(ordering: .relaxed) { sched_yield() }
                ended.leave()
            }
        }
        let deadline = Deadline()
        while starvation.time < before + 50_000_000 && !deadline.hasPassed { poll(nil, 0, 10) }
        XCTAssertGreaterThanOrEqual(starvation.time, before + 50_000_000)
        flag.goesOn.store(false, ordering: .relaxed)
        ended.wait()
    }
}

private final class Flag: Sendable {
    let goesOn = Atomic(true)
}
