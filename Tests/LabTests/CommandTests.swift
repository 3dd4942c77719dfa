// Every command that needs no compiler, as a process.
import Foundation
import GraderKit
import LabCore
import XCTest
import Wire

final class CommandTests: XCTestCase {
    // MARK: Wrong use

    func testWrongUseIsOneSentenceOnStandardErrorAndExitCodeTwo() throws {
        let cases: [([String], String)] = [
            (["chekc"], "lab: There is no command chekc. Did you mean `lab check`?"),
            (["check", "99"], "lab: There is no lesson, exercise or check 99. `lab list` shows all lessons."),
            (
                ["check", "04", "two-client"],
                "lab: Lesson 04 has no check or exercise two-client. Did you mean two-clients?"
            ),
            (["list", "tpc"], "lab: There is no lesson tpc. Did you mean 04-tcp?"),
            (["check", "--sede", "1"], "lab: There is no option --sede. Did you mean --seed?"),
            (["check", "--seed"], "lab: --seed needs a value: --seed N."),
            (["check", "04", "--seed", "x"], "lab: --seed takes a whole number, not x."),
            (["check", "04", "--seed", "-1"], "lab: --seed takes a whole number, not -1."),
            (["--lang", "fr"], "lab: --lang is en or zh-Hans, not fr."),
            (["--frob"], "lab: There is no option --frob. `lab help` shows all commands."),
            (["hint"], "lab: Which lesson? For example: lab hint 04"),
            (
                ["hint", "04", "a", "b"],
                "lab: lab hint: \"b\" is one word too many. `lab help hint` shows how it is used."
            ),
            (["trace", "04"], "lab: Which check? For example: lab trace 04 send-short"),
            (
                ["progress", "now"],
                "lab: lab progress: \"now\" is one word too many. `lab help progress` shows how it is used."
            ),
            (["bench", "epol"], "lab: There is no bench epol. Did you mean `lab bench epoll`?"),
            (["help", "chck"], "lab: There is no command chck. Did you mean `lab check`?"),
        ]
        for (arguments, message) in cases {
            let result = try Subprocess.run(
                Lab.executable, arguments, folder: Lab.fixture, environment: Lab.environment())
            XCTAssertEqual(result.status, 2, "\(arguments)")
            XCTAssertEqual(result.errors, message + "\n", "\(arguments)")
            XCTAssertEqual(result.output, "", "\(arguments)")
        }
    }

    func testOutsideOfALabItSaysWhatToDo() throws {
        // The executable lies inside the package, and finds it from there: only a copy elsewhere can be lost.
        let folder = try Lab.miniature(self).deletingLastPathComponent()
        let copy = folder.appendingPathComponent("lab")
        try FileManager.default.copyItem(atPath: Lab.executable, toPath: copy.path)
        let lost = try Subprocess.run(copy.path, ["list"], folder: folder, environment: Lab.environment())
        XCTAssertEqual(lost.status, 2)
        XCTAssertTrue(lost.errors.contains("set LAB_HOME"), lost.errors)
        let home = folder.appendingPathComponent("package").path
        let told = try Subprocess.run(
            copy.path, ["list"], folder: folder, environment: Lab.environment(["LAB_HOME": home]))
        XCTAssertEqual(told.status, 0, told.errors)
        // And from anywhere, the executable where it was built knows its package.
        let anywhere = try Lab.run("list", in: URL(fileURLWithPath: "/"))
        XCTAssertEqual(anywhere.status, 0, anywhere.errors)
    }

    func testABrokenCatalogueIsTheLabsFailure() throws {
        let package = try Lab.miniature(self)
        try "{".write(
            to: package.appendingPathComponent("Lessons/04-tcp/lesson.json"), atomically: true, encoding: .utf8)
        let result = try Lab.run("list", in: package)
        XCTAssertEqual(result.status, 3)
        XCTAssertTrue(result.errors.contains("Lessons/04-tcp/lesson.json"), result.errors)
    }

    // MARK: Help

    func testEveryCommandHasHelpWithExamplesInBothLanguages() throws {
        let overview = try Lab.run("help")
        let names = overview.output.split(separator: "\n").filter { $0.hasPrefix("  lab ") }
            .compactMap { $0.split(separator: " ").dropFirst().first }.map(String.init)
            .filter { $0.allSatisfy(\.isLetter) && $0 != "where" }
        XCTAssertTrue(
            Set(["check", "watch", "list", "show", "hint", "solution", "trace"]).isSubset(of: names), "\(names)")
        for name in Set(names) {
            for language in ["en", "zh-Hans"] {
                let help = try Lab.run("help", name, "--lang", language)
                XCTAssertEqual(help.status, 0, name)
                XCTAssertEqual(help.output, try Lab.run(name, "--help", "--lang", language).output)
                XCTAssertTrue(help.output.contains(language == "en" ? "Examples" : "例子"), "\(name): no example")
                for line in help.output.split(separator: "\n") {
                    XCTAssertLessThanOrEqual(displayWidth(String(line)), 80)
                }
            }
        }
        XCTAssertEqual(overview.output, try Lab.run("--help").output)
        XCTAssertEqual(overview.output, try Lab.run("-h").output)
    }

    func testVersion() throws {
        XCTAssertTrue(try Lab.run("--version").output.hasPrefix("SocketLab "))
    }

    // MARK: Language and colour

    func testTheLanguageIsChosenByOptionVariableAndLocale() throws {
        let chinese = try Lab.run("list", "--lang", "zh-Hans").output
        XCTAssertTrue(chinese.contains("字节流"))
        XCTAssertEqual(chinese, try Lab.run("list", environment: ["LANG": "zh_CN.UTF-8"]).output)
        XCTAssertEqual(chinese, try Lab.run("--lang=zh", "list").output)
        XCTAssertTrue(try Lab.run("list").output.contains("a stream of bytes"))
        let wrong = try Lab.run("chekc", "--lang", "zh-Hans")
        XCTAssertEqual(wrong.errors, "lab: 没有 chekc 这个命令。是不是想用 `lab check`？\n")
    }

    func testAPipeGetsNoEscapes() throws {
        for arguments in [["list"], ["show", "04"], ["help"], ["doctor"], []] {
            let result = try Subprocess.run(
                Lab.executable, arguments, folder: Lab.fixture, environment: Lab.environment())
            XCTAssertFalse((result.output + result.errors).contains("\u{1b}"), "\(arguments)")
        }
    }

    func testAReaderThatLeavesEndsItQuietly() throws {
        let result = try Subprocess.run(
            "sh", ["-c", "\"$0\" help | head -1", Lab.executable], folder: Lab.fixture, environment: Lab.environment())
        XCTAssertEqual(result.output.split(separator: "\n").count, 1)
        XCTAssertEqual(result.errors, "")
    }

    // MARK: Reading

    func testAloneItSaysWhereTheStudentIs() throws {
        let result = try Lab.run(in: try Lab.miniature(self))
        XCTAssertEqual(result.status, 0)
        XCTAssertTrue(result.output.contains("next    04 send-all"), result.output)
        XCTAssertTrue(result.output.contains("lab check 04 send-all"), result.output)
    }

    func testShowTakesALessonASectionOrACheck() throws {
        XCTAssertTrue(try Lab.run("show", "04").output.contains("TCP: a stream of bytes"))
        let section = try Lab.run("show", "04", "many-clients").output
        XCTAssertTrue(section.hasPrefix("Many clients\n"), section)
        XCTAssertEqual(section, try Lab.run("show", "04", "two-clients").output)
        XCTAssertEqual(section, try Lab.run("show", "Lessons/04-tcp/README.md#many-clients").output)
        // A check of lesson 05 that lesson 04 teaches.
        XCTAssertTrue(try Lab.run("show", "05", "sigpipe").output.hasPrefix("SIGPIPE\n"))
        let wrong = try Lab.run("show", "04", "many-client")
        XCTAssertEqual(wrong.status, 2)
        XCTAssertTrue(wrong.errors.contains("Did you mean many-clients?"), wrong.errors)
    }

    // MARK: Hints, solutions, resets

    func testHintsClimbTheLadderAndAreRemembered() throws {
        let package = try Lab.miniature(self)
        let shown = try (1...4).map { _ in try Lab.run("hint", "04", "two-clients", in: package).output }
        XCTAssertEqual(shown.map { $0.contains("1/3") }, [true, true, true, true])
        XCTAssertEqual(shown.map { $0.contains("2/3") }, [false, true, true, true])
        XCTAssertEqual(shown.map { $0.contains("3/3") }, [false, false, true, true])
        let progress = try Lab.run("progress", "--json", in: package).output
        XCTAssertTrue(progress.contains("\"two-clients\" : 3"), progress)
        // Without a check: the first that is open.
        XCTAssertTrue(try Lab.run("hint", "04", in: package).output.contains("04 send-short"))
    }

    func testTheSolutionHasToBeAskedForTwice() throws {
        let package = try Lab.miniature(self)
        for command in ["solution", "diff"] {
            let exercise = command == "solution" ? "send-all" : "uppercase-server"
            let first = try Lab.run(command, "04", exercise, in: package)
            XCTAssertEqual(first.status, 1)
            XCTAssertFalse(first.output.contains("real()"), first.output)
            XCTAssertTrue(first.output.contains("lab \(command) 04 \(exercise)"), first.output)
            let second = try Lab.run(command, "04", exercise, in: package)
            XCTAssertEqual(second.status, 0)
            XCTAssertTrue(second.output.contains("real()"), second.output)
        }
    }

    func testAPassedSolutionIsShownAtOnce() throws {
        let package = try Lab.miniature(self)
        var verdict = try JSONDecoder().decode(
            Verdict.self,
            from: Data(contentsOf: Lab.root.appendingPathComponent("Tests/Fixtures/verdicts/passed.json")))
        verdict.check = "send-short"
        try ProgressFile(Workspace(root: package)).update { $0.record(verdict, at: Date()) }
        let result = try Lab.run("diff", "04", "send-all", in: package)
        XCTAssertEqual(result.status, 0)
        XCTAssertTrue(result.output.contains("-func stubSendAll() { todo("), result.output)
        XCTAssertTrue(result.output.contains("+func stubSendAll() { real() }"), result.output)
    }

    func testResetKeepsMine() throws {
        let package = try Lab.miniature(self)
        let file = package.appendingPathComponent("Exercises/04-tcp/SendAll.swift")
        let stub = try String(contentsOf: file, encoding: .utf8)
        XCTAssertTrue(try Lab.run("reset", "04", "send-all", in: package).errors.contains("not to be found"))
        let workspace = Workspace(root: package)
        Stubs(workspace).keep(try workspace.catalogue().lessons[0])
        try "mine".write(to: file, atomically: true, encoding: .utf8)
        let result = try Lab.run("reset", "04", "send-all", in: package)
        XCTAssertEqual(result.status, 0, result.errors)
        XCTAssertTrue(result.output.contains("SendAll.swift.mine-1"), result.output)
        XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), stub)
    }

    // MARK: Trouble with files

    func testUnreadableProgressIsSaidKeptAndNotInTheWay() throws {
        let package = try Lab.miniature(self)
        try writeAtomically(Data("not json".utf8), to: package.appendingPathComponent(".lab/progress.json"))
        let result = try Lab.run("list", in: package)
        XCTAssertEqual(result.status, 0)
        XCTAssertTrue(result.errors.contains("progress.json.unreadable-1"), result.errors)
        XCTAssertEqual(try Lab.run("list", in: package).errors, "")
    }

    func testWithoutAPlaceForProgressItStillWorks() throws {
        // A file where the folder should be: unlike a permission, it stops root, too.
        let package = try Lab.miniature(self)
        try "in the way".write(to: package.appendingPathComponent(".lab"), atomically: true, encoding: .utf8)
        let result = try Lab.run("hint", "04", in: package)
        XCTAssertEqual(result.status, 0)
        XCTAssertTrue(result.output.contains("1/3"), result.output)
        XCTAssertTrue(result.errors.contains("Your progress is not kept"), result.errors)
    }

    func testDoctorLooksAtTheMachine() throws {
        let result = try Lab.run("doctor", "--json", in: Lab.root)
        let findings = try result.output.split(separator: "\n").map {
            try JSONDecoder().decode(Finding.self, from: Data($0.utf8))
        }
        XCTAssertEqual(findings.first?.subject, "Swift")
        XCTAssertEqual(findings.first?.state, .good)
        for finding in findings where finding.state != .good { XCTAssertNotNil(finding.advice, finding.subject) }
        let isBad = findings.contains { $0.state == .bad }
        XCTAssertEqual(result.status, isBad ? 1 : 0)
    }
}
