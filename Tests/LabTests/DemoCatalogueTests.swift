import Course
import Foundation
import LabCore
import XCTest
import Wire

/// The list of demos: the same in the program and in the lessons.
final class DemoCatalogueTests: XCTestCase {
    private var catalogue: Catalogue {
        get throws {
            let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../..")
            return try Catalogue.load(root: root.standardizedFileURL)
        }
    }

    func testEveryDemoBelongsToItsLesson() throws {
        let catalogue = try catalogue
        for demo in Demo.all {
            let lesson = try XCTUnwrap(catalogue.lesson(demo.lesson), demo.lesson)
            XCTAssert(lesson.demos.contains { $0.id == demo.id }, "\(lesson.slug)/lesson.json does not name \(demo.id)")
        }
        for lesson in catalogue.lessons where Demo.all.contains(where: { $0.lesson == lesson.slug }) {
            for demo in lesson.demos {
                XCTAssert(
                    Demo.all.contains { $0.id == demo.id }, "`lab run` does not know \(demo.id) of \(lesson.slug)")
            }
        }
    }

    /// A copy of `lab` alone has only its own titles: they are to be the lessons'.
    func testTitlesAreTheLessons() throws {
        let catalogue = try catalogue
        for demo in Demo.all {
            XCTAssertEqual(
                demo.title(nil), demo.title(catalogue),
                "Demo \"\(demo.id)\" (Sources/LabCore/Demos) and \(demo.lesson)/lesson.json differ")
        }
    }

    func testListedAsJSON() throws {
        let ended = try DemoProcess.run(["demos", "--json"])
        XCTAssertEqual(ended.status, 0)
        let list = try XCTUnwrap(
            try JSONSerialization.jsonObject(with: Data(ended.output.utf8)) as? [[String: Any]])
        XCTAssertEqual(list.map { $0["id"] as? String }, Demo.all.map(\.id))
        XCTAssertEqual(list.first?["lesson"] as? String, "01-byte-order")
        XCTAssertEqual(
            list.first?["title"] as? [String: String],
            ["en": Demo.all[0].title(nil).en, "zh-Hans": Demo.all[0].title(nil).zh])
        XCTAssert(list.first?["port"] is NSNull)
        XCTAssertEqual(list.first { $0["id"] as? String == "tcp-echo" }?["port"] as? Int, 12000)
    }

    func testListedForAPerson() throws {
        for language in ["en", "zh-Hans"] {
            let ended = try DemoProcess.run(["demos"], language: language)
            XCTAssertEqual(ended.status, 0)
            for demo in Demo.all { XCTAssert(ended.output.contains("  \(demo.id) "), demo.id) }
            for line in ended.output.split(separator: "\n") {
                XCTAssertLessThanOrEqual(displayWidth(String(line)), 80, String(line))
            }
        }
    }
}
