import Course
import LabCore
import XCTest

final class ArgumentsTests: XCTestCase {
    private let known = [
        OptionSpecification("--seed", value: "N", "", ""), OptionSpecification("--json", "", ""),
        OptionSpecification("--help", short: "-h", "", ""),
    ]

    private func parse(_ line: String...) throws -> Arguments { try Arguments.parse(line, options: known) }

    func testOptionsMayStandAnywhere() throws {
        let arguments = try parse("04", "--json", "two-clients", "--seed", "7")
        XCTAssertEqual(arguments.words, ["04", "two-clients"])
        XCTAssertEqual(arguments.options, ["--json": "", "--seed": "7"])
        XCTAssertEqual(try parse("--seed=7").options, ["--seed": "7"])
        XCTAssertEqual(try parse("-h").options, ["--help": ""])
    }

    func testTwoDashesEndTheOptions() throws {
        XCTAssertEqual(try parse("--json", "--", "--seed").words, ["--seed"])
        XCTAssertEqual(try parse("-").words, ["-"])
    }

    func testWrongUseSaysWhat() {
        for (line, message) in [
            (["--jsno"], "There is no option --jsno. Did you mean --json?"),
            (["--xyzzy"], "There is no option --xyzzy."),
            (["--seed"], "--seed needs a value: --seed N."), (["--seed", "--json"], "--seed needs a value: --seed N."),
            (["--json=1"], "--json takes no value."),
        ] {
            let before = Language.current
            Language.current = .english
            defer { Language.current = before }
            XCTAssertThrowsError(try Arguments.parse(line, options: known)) { error in
                XCTAssertEqual(error as? CommandError, .usage(message))
            }
        }
    }

    func testLenientParsingLeavesUnknownOptionsAlone() throws {
        let arguments = try Arguments.parse(["check", "--other", "--json"], options: known, lenient: true)
        XCTAssertEqual(arguments.words, ["check", "--other"])
        XCTAssertTrue(arguments.has("--json"))
    }
}

final class NamesTests: XCTestCase {
    func testALessonHasManyNames() throws {
        let catalogue = try Fixtures.catalogue()
        for name in ["04", "4", "04-tcp", "tcp", "TCP", "Lesson04", "lesson4"] {
            XCTAssertEqual(try catalogue.find(lesson: name).slug, "04-tcp", name)
        }
    }

    func testSelections() throws {
        let catalogue = try Fixtures.catalogue()
        func ids(_ words: String...) throws -> [String] { try catalogue.select(words).flatMap { $0.checks.map(\.id) } }
        XCTAssertEqual(try ids("04"), ["send-short", "answers", "two-clients", "survives-reset"])
        XCTAssertEqual(try ids(), ["send-short", "answers", "two-clients", "survives-reset", "sigpipe"])
        XCTAssertEqual(try ids("04", "uppercase-server"), ["answers", "two-clients", "survives-reset"])
        XCTAssertEqual(try ids("4", "Exercises/04-tcp/SendAll.swift"), ["send-short"])
        XCTAssertEqual(try ids("04", "two-clients", "send-all", "two-clients"), ["send-short", "two-clients"])
        XCTAssertEqual(try ids("two-clients"), ["two-clients"])
        XCTAssertEqual(try ids("framed-server"), ["sigpipe"])
    }

    func testUnknownNamesSuggestTheNearest() throws {
        let before = Language.current
        Language.current = .english
        defer { Language.current = before }
        let catalogue = try Fixtures.catalogue()
        for (words, suggestion) in [
            (["04", "two-client"], "Did you mean two-clients?"),
            (["uppercase-sever"], "Did you mean uppercase-server?"),
            (["framming"], "Did you mean framing?"), (["99"], "`lab list` shows all lessons."),
            (["04", "zzzzzz"], "`lab list 04` shows them."),
        ] {
            XCTAssertThrowsError(try catalogue.select(words)) { error in
                let error = error as? CommandError
                XCTAssertEqual(error?.exit, .usage)
                XCTAssertTrue(error?.description.contains(suggestion) ?? false, error?.description ?? "")
            }
        }
    }

    func testAPlaceMayBeInAnotherLesson() throws {
        let catalogue = try Fixtures.catalogue()
        let framing = try catalogue.find(lesson: "05")
        XCTAssertEqual(catalogue.place("lines", in: framing).lesson.slug, "05-framing")
        XCTAssertEqual(catalogue.place("04#sigpipe", in: framing).lesson.slug, "04-tcp")
        XCTAssertEqual(catalogue.place("04#sigpipe", in: framing).anchor, "sigpipe")
    }
}
