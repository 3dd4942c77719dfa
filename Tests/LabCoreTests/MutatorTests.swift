import XCTest

@testable import LabCore

final class MutatorTests: XCTestCase {
    private func mutants(_ source: String, _ kind: Mutation.Kind) -> [String] {
        let mutator = Mutator(source)
        return mutator.mutations.filter { $0.kind == kind }.map(mutator.applying)
    }

    func testRemovesACallThatStandsAlone() {
        XCTAssertEqual(
            mutants("listen(a)\nlet b = bind(a)\n", .callRemoved), ["\nlet b = bind(a)\n"])
        XCTAssertEqual(mutants("    defer { close(a) }\n", .callRemoved), ["    \n"])
        XCTAssertEqual(mutants("call(\n    a,\n    b)\nrest\n", .callRemoved), ["\nrest\n"])
        // An argument on a line of its own is no statement.
        XCTAssertEqual(mutants("let x = call(\n    other(b))\n", .callRemoved), [])
    }

    func testMakesALoopOnce() {
        XCTAssertEqual(
            mutants("while a {\n    b()\n}\n", .loopOnce), ["while a {\n    b()\n    break\n    }\n"])
    }

    func testTurnsComparisonsOutsideOfCommentsAndStrings() {
        XCTAssertEqual(mutants("if a < b {}  // a < b\n", .comparisonTurned), ["if a <= b {}  // a < b\n"])
        XCTAssertEqual(mutants("print(\"a == b\")\n", .comparisonTurned), [])
        XCTAssertEqual(mutants("a != b", .comparisonTurned), ["a == b"])
    }

    func testChangesConstantsByOne() {
        XCTAssertEqual(mutants("let a = 65_535", .constantOffByOne), ["let a = 65536"])
        XCTAssertEqual(mutants("let a = 0xFF", .constantOffByOne), ["let a = 256"])
        // Neither the digits of a name nor those of an argument without one.
        XCTAssertEqual(mutants("send(ipv4, $0)", .constantOffByOne), [])
    }

    func testIgnoresErrors() {
        XCTAssertEqual(
            mutants("    try check(\"bind\", bind(a, $0))\n", .errorIgnored), ["    _ = (bind(a, $0))\n"])
        XCTAssertEqual(
            mutants("let a = try check(\"socket\", socket(1))\n", .errorIgnored), ["let a = (socket(1))\n"])
        XCTAssertEqual(mutants("if errno == EINTR { continue }\n", .errorIgnored), ["\n"])
    }

    func testSwapsArgumentsWithoutLabels() {
        XCTAssertEqual(mutants("send(a, b[c, d])", .argumentsSwapped), ["send(b[c, d], a)"])
        XCTAssertEqual(mutants("f(a: 1, b: 2)", .argumentsSwapped), [])
        // The smaller of two is the same in any order.
        XCTAssertEqual(mutants("min(a, max(b, f(c, d)))", .argumentsSwapped), ["min(a, max(b, f(d, c)))"])
    }

    func testNamesTheLine() {
        let mutator = Mutator("a\nb\nc < d\n")
        XCTAssertEqual(mutator.mutations.map(mutator.line), [3])
    }
}
