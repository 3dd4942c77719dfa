// The bank of mistakes as it lies in Tests/Mistakes, without running it: complete, in both languages, and its reports
// say what the catalogue says now. `lab mistakes` runs it.
import Course
import Foundation
import Wire
import XCTest

@testable import LabCore

final class BankTests: XCTestCase {
    private let workspace = Workspace(
        root: URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent())

    private func bank() throws -> (Catalogue, Bank) {
        let catalogue = try workspace.catalogue()
        return (catalogue, try Bank.read(workspace, catalogue))
    }

    func testEveryFileMeansSomething() throws {
        let (_, bank) = try bank()
        XCTAssertFalse(bank.programs.isEmpty)
        for program in bank.programs {
            for language in [Language.english, .chinese] {
                XCTAssertFalse(program.about[language].isEmpty, "\(program.folder.path): \(language)")
            }
        }
    }

    func testLessonsHaveEnoughOfBoth() throws {
        let (catalogue, bank) = try bank()
        for lesson in catalogue.lessons where Int(lesson.number).map({ $0 <= 5 }) == true {
            let own = bank.programs.filter { $0.lesson.slug == lesson.slug }
            XCTAssertGreaterThanOrEqual(own.filter { !$0.isRight }.count, 8, lesson.slug)
            XCTAssertGreaterThanOrEqual(own.filter(\.isRight).count, 3, lesson.slug)
        }
    }

    func testNoTwoAreTheSame() throws {
        var seen: [[String: Data]: String] = [:]
        for program in try bank().1.programs {
            if let other = seen[program.files] { XCTFail("\(program.folder.path) is \(other)") }
            seen[program.files] = program.folder.path
        }
    }

    /// A file of the solution, unchanged, makes no mistake.
    func testEveryFileDiffersFromTheSolution() throws {
        for program in try bank().1.programs {
            for (name, text) in program.files {
                let solution = workspace.root.appendingPathComponent("Solutions/\(program.lesson.slug)/\(name)")
                XCTAssertNotEqual(try? Data(contentsOf: solution), text, program.folder.path)
            }
        }
    }

    func testReportsGiveTheCauseInEightyColumns() throws {
        let (catalogue, bank) = try bank()
        for program in bank.programs {
            guard case .wrong(let mistake) = program.kind, let check = mistake.fails.first else { continue }
            for language in Language.allCases {
                let file = program.folder.appendingPathComponent(GoldenReport.name(language))
                // Those that were not written yet; `lab mistakes --update` writes them.
                guard let text = try? String(contentsOf: file, encoding: .utf8) else { continue }
                for line in text.split(separator: "\n") {
                    XCTAssertLessThanOrEqual(displayWidth(String(line)), 80, "\(file.path): \(line)")
                }
                XCTAssertTrue(text.hasPrefix("✘ \(program.lesson.number) \(check)"), file.path)
                XCTAssertTrue(text.contains("lab hint \(program.lesson.number) \(check)"), file.path)
                let cause = try XCTUnwrap(mistake.causes[check].flatMap { catalogue.causes[$0] })
                XCTAssertTrue(
                    unwrapped(text).contains(unwrapped(cause.why[language])),
                    "\(file.path) does not give the reason as the catalogue has it: lab mistakes --update")
            }
        }
    }

    private func unwrapped(_ text: String) -> String { text.filter { !$0.isWhitespace } }
}
