// Threads that run or say that they do not.
import Foundation
import XCTest

@testable import GraderKit

final class ThreadTests: XCTestCase {
    func testRuns() throws {
        let ran = DispatchSemaphore(value: 0)
        try startThread { ran.signal() }
        XCTAssertEqual(ran.wait(timeout: .now() + 10), .success)
    }

    /// A stack that no machine has: the system refuses, and who asked is told, and what the thread would have held is freed.
    func testARefusedThreadIsAnError() {
        weak var held: NSObject?
        do {
            let object = NSObject()
            held = object
            nonisolated(unsafe) let passed = object
            XCTAssertThrowsError(try startThread(stackSize: 1 << 46) { _ = passed }) { error in
                XCTAssertTrue(error is LabError, "\(error)")
            }
        }
        XCTAssertNil(held)
    }

    func testAskedAgainUntilItIsGranted() {
        var answers: [Int32] = [EAGAIN, EAGAIN, 0, EPERM]
        XCTAssertEqual(askedAgain { answers.removeFirst() }, 0)
        XCTAssertEqual(askedAgain { answers.removeFirst() }, EPERM)
    }

    func testEveryThingIsDoneOnceAndHandedOn() {
        for (count, width) in [(0, 4), (1, 4), (4, 4), (100, 7), (5, 1)] {
            var arrived: [Int: Int] = [:]
            inParallel(count: count, width: width) {
                $0 * $0
            } arrived: {
                arrived[$0] = $1
            }
            XCTAssertEqual(arrived, Dictionary(uniqueKeysWithValues: (0..<count).map { ($0, $0 * $0) }))
        }
    }
}
