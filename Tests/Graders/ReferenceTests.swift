// The graders themselves are tested here, on the user's machine too: every reference passes every check of its lesson.
import Course
import Foundation
import GraderKit
import Graders
import XCTest

final class ReferenceTests: XCTestCase {
    func testEveryReferencePassesEveryCheck() {
        let judge = Judge { .solution($0, products: Program.products) }
        for grader in allGraders {
            judge.judge(grader.checks, of: grader.slug) { verdict in
                // What this machine cannot do is skipped with its reason, as it is for a student.
                if verdict.status == .skipped { return }
                XCTAssertEqual(
                    verdict.status, .passed,
                    "\(grader.slug) \(verdict.check), seed \(verdict.seed): \(verdict.reason ?? "") "
                        + "\(verdict.report?.expected ?? "") / \(verdict.report?.got ?? "")")
            }
        }
    }

    func testEveryCheckHasItsOwnName() {
        for grader in allGraders {
            let ids = grader.checks.map(\.id)
            XCTAssertEqual(ids.count, Set(ids).count, "\(grader.slug) has two checks of one name")
        }
    }
}
