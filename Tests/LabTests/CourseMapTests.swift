import Course
import Foundation
import LabCore
import XCTest

/// The table from the topics of a classic course to what teaches them here (docs/course-map.md). That its links lead
/// somewhere is for `lab lint`; ReferenceTests and DemoRunTests run all that it names.
final class CourseMapTests: XCTestCase {
    private struct Row: Equatable {
        var lesson: String
        var anchor: String
        var exercise: String
        var demo: String?
    }

    private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
        .standardizedFileURL

    /// `| topic | [04#the-client](…) | `04 client` | `lab run tcp-client` |`
    private func rows(_ name: String) throws -> [Row] {
        let text = try String(contentsOf: root.appendingPathComponent("docs/\(name)"), encoding: .utf8)
        return try text.split(separator: "\n").filter { $0.hasPrefix("| ") && $0.contains("](") }.map { line in
            let cells = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            XCTAssertEqual(cells.count, 4, String(line))
            let place = try XCTUnwrap(cells[1].split(separator: "]").first).dropFirst().split(separator: "#")
            let exercise = cells[2].trimmingCharacters(in: ["`"]).split(separator: " ").map(String.init)
            XCTAssertEqual(place.count, 2, String(line))
            XCTAssertEqual(exercise.count, 2, String(line))
            XCTAssertEqual(exercise[0], String(place[0]), "two lessons in one row: \(line)")
            let demo = cells[3] == "–" ? nil : cells[3].trimmingCharacters(in: ["`"])
            if let demo { XCTAssert(demo.hasPrefix("lab run "), String(line)) }
            return Row(
                lesson: exercise[0], anchor: String(place[1]), exercise: exercise[1],
                demo: demo.map { String($0.dropFirst("lab run ".count)) })
        }
    }

    func testEveryRowIsThere() throws {
        let catalogue = try Catalogue.load(root: root)
        let rows = try rows("course-map.md")
        XCTAssertGreaterThan(rows.count, 30)
        for row in rows {
            let lesson = try XCTUnwrap(catalogue.lesson(row.lesson), "there is no lesson \(row.lesson)")
            XCTAssert(
                lesson.exercises.contains { $0.id == row.exercise }, "\(lesson.slug) has no exercise \(row.exercise)")
            if let demo = row.demo {
                XCTAssert(Demo.all.contains { $0.id == demo }, "there is no demo \(demo)")
            }
        }
        for lesson in catalogue.lessons {
            XCTAssert(rows.contains { $0.lesson == lesson.number }, "no row leads to \(lesson.slug)")
        }
        for demo in Demo.all {
            XCTAssert(
                rows.contains { $0.demo == demo.id }, "no row leads to \(demo.id)")
        }
    }

    func testBothLanguagesHaveTheSameRows() throws {
        XCTAssertEqual(try rows("course-map.md"), try rows("course-map.zh-Hans.md"))
    }
}
