// `swift test --filter Lesson04`: the checks of the `Graders` library as XCTest methods, one each. They are the very
// checks that `lab check 04` runs; a class here only lists them, since XCTest finds its tests when they are compiled.
import Course
import Foundation
import GraderKit
import Graders
import LabCore
import XCTest

class LessonTestCase: XCTestCase {
    class var slug: String { "" }

    /// Grades the check that the calling test is named for: `test_two_clients` is `two-clients`. `LAB_SUBJECT=solution`
    /// grades the reference instead of the student's code.
    func grade(_ test: String = #function, file: StaticString = #filePath, line: UInt = #line) throws {
        let slug = type(of: self).slug
        let id = test.dropFirst("test_".count).prefix { $0 != "(" }.replacingOccurrences(of: "_", with: "-")
        let check = try XCTUnwrap(grader(of: slug)?.checks.first { $0.id == id }, "no check \(id) in \(slug)")
        let catalogue = try LessonTestCase.workspace.catalogue()
        let points = catalogue.lesson(slug)?.checks.first { $0.id == id }?.points ?? 1
        let verdict = Judge(program: LessonTestCase.program).judge(check, of: slug, points: points)
        switch verdict.status {
        case .passed: return
        case .failed:
            let text = VerdictText(
                catalogue: catalogue, workspace: LessonTestCase.workspace, reference: LessonTestCase.gradesReference)
            let report = text.lines(verdict).map(\.plain).joined(separator: "\n")
            XCTFail("\n\(report)\n  LAB_SEED=\(verdict.seed)\n", file: file, line: line)
        case .notStarted:
            let place = verdict.place.map { "\(LessonTestCase.workspace.relative($0.file)):\($0.line)" } ?? ""
            throw XCTSkip(say("not started: open \(place)", "还没有开始：请打开 \(place)"))
        case .skipped: throw XCTSkip(verdict.reason)
        case .labError: XCTFail(verdict.reason ?? "", file: file, line: line)
        }
    }

    private static let workspace = Workspace(root: URL(fileURLWithPath: #filePath + "/../../..").standardizedFileURL)
    private static let gradesReference = ProcessInfo.processInfo.environment["LAB_SUBJECT"] == "solution"

    private static func program(_ slug: String) -> Program {
        gradesReference ? .solution(slug, products: Program.products) : .exercise(slug, products: Program.products)
    }
}
