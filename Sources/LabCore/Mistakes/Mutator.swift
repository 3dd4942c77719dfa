// Mechanical mistakes in a Swift file: one small change each, at the level of its text. Knows as much of Swift as it needs
// to leave comments and strings alone and to find where a bracket closes. What does not compile is thrown away later.
import Foundation

/// One change of one file.
struct Mutation: Hashable, Sendable {
    enum Kind: String, Codable, Sendable {
        case callRemoved = "call-removed"
        case loopOnce = "loop-once"
        case comparisonTurned = "comparison-turned"
        case constantOffByOne = "constant-off-by-one"
        case errorIgnored = "error-ignored"
        case argumentsSwapped = "arguments-swapped"
        case operatorExchanged = "operator-exchanged"
    }

    var kind: Kind
    /// In the file's characters.
    var range: Range<Int>
    var replacement: String
}

struct Mutator {
    /// The characters of the file.
    let text: [Character]
    /// The same, with blanks in place of comments and of what strings hold.
    let code: [Character]

    init(_ source: String) {
        text = Array(source)
        code = Mutator.masked(text)
    }

    var mutations: [Mutation] {
        let all = statements() + loops() + operators() + constants() + checks() + arguments()
        var seen: Set<Mutation> = []
        return all.sorted { ($0.range.lowerBound, $0.range.count) < ($1.range.lowerBound, $1.range.count) }
            .filter { seen.insert($0).inserted }
    }

    func applying(_ mutation: Mutation) -> String {
        String(text[..<mutation.range.lowerBound]) + mutation.replacement + String(text[mutation.range.upperBound...])
    }

    /// The number of the line, from 1, that a change begins in.
    func line(of mutation: Mutation) -> Int { text[..<mutation.range.lowerBound].filter(\.isNewline).count + 1 }

    // MARK: Masking

    private static func masked(_ text: [Character]) -> [Character] {
        var code = text
        var index = 0
        func blank(_ range: Range<Int>) {
            for place in range where !code[place].isNewline { code[place] = " " }
        }
        while index < text.count {
            if text[index] == "/", index + 1 < text.count, text[index + 1] == "/" {
                let end = text[index...].firstIndex(where: \.isNewline) ?? text.count
                blank(index..<end)
                index = end
            } else if text[index] == "\"" {
                var end = index + 1
                while end < text.count, text[end] != "\"" { end += text[end] == "\\" ? 2 : 1 }
                blank(index + 1..<min(end, text.count))
                index = end + 1
            } else {
                index += 1
            }
        }
        return code
    }

    // MARK: Statements

    private func lines() -> [Range<Int>] {
        var found: [Range<Int>] = []
        var start = 0
        for index in code.indices where code[index].isNewline {
            found.append(start..<index)
            start = index + 1
        }
        if start < code.count { found.append(start..<code.count) }
        return found
    }

    /// A call that stands alone, and a condition on one line that leaves or goes on, are removed.
    private func statements() -> [Mutation] {
        var found: [Mutation] = []
        let starts = #/^(try\??\s+|_ = )*[A-Za-z_][A-Za-z_0-9.]*\(/#
        let escapes = #/^if .*\{ (continue|break|return)[^{}]* \}$/#
        for line in lines() {
            let words = String(code[line])
            let trimmed = words.trimmingCharacters(in: .whitespaces)
            guard let first = line.first(where: { !code[$0].isWhitespace }) else { continue }
            if trimmed.hasPrefix("defer {"), trimmed.hasSuffix("}") {
                found.append(Mutation(kind: .callRemoved, range: first..<line.upperBound, replacement: ""))
            } else if trimmed.wholeMatch(of: escapes) != nil {
                found.append(Mutation(kind: .errorIgnored, range: first..<line.upperBound, replacement: ""))
            } else if trimmed.prefixMatch(of: starts) != nil, !trimmed.hasPrefix("if "), !trimmed.hasPrefix("return"),
                let open = code[first...].firstIndex(of: "("), let close = closing(open)
            {
                let end = code[close...].firstIndex(where: \.isNewline) ?? code.count
                // Nothing but the call: no trailing closure, no operator behind it.
                guard code[(close + 1)..<end].allSatisfy(\.isWhitespace), isStatement(first) else { continue }
                found.append(Mutation(kind: .callRemoved, range: first..<close + 1, replacement: ""))
            }
        }
        return found
    }

    /// The line before does not go on here.
    private func isStatement(_ start: Int) -> Bool {
        guard let last = code[..<start].lastIndex(where: { !$0.isWhitespace }) else { return true }
        return !["(", ",", "=", "[", ".", ":", "+", "?"].contains(code[last])
    }

    private func closing(_ open: Int) -> Int? {
        let pairs: [Character: Character] = ["(": ")", "{": "}", "[": "]"]
        var expected: [Character] = []
        for index in open..<code.count {
            if let close = pairs[code[index]] {
                expected.append(close)
            } else if code[index] == expected.last {
                expected.removeLast()
                if expected.isEmpty { return index }
            }
        }
        return nil
    }

    /// A loop leaves after its first round.
    private func loops() -> [Mutation] {
        lines().compactMap { line in
            let trimmed = String(code[line]).trimmingCharacters(in: .whitespaces)
            guard trimmed.hasPrefix("while ") || trimmed.hasPrefix("for "), trimmed.hasSuffix("{"),
                let open = code[line].lastIndex(of: "{"), let close = closing(open)
            else { return nil }
            return Mutation(kind: .loopOnce, range: close..<close, replacement: "    break\n    ")
        }
    }

    // MARK: Expressions

    private func operators() -> [Mutation] {
        let turned: [(String, [String], Mutation.Kind)] = [
            (" < ", [" <= "], .comparisonTurned), (" <= ", [" < "], .comparisonTurned),
            (" > ", [" >= "], .comparisonTurned), (" >= ", [" > "], .comparisonTurned),
            (" == ", [" != "], .comparisonTurned), (" != ", [" == "], .comparisonTurned),
            (" && ", [" || "], .operatorExchanged), (" || ", [" && "], .operatorExchanged),
            (" + ", [" - "], .operatorExchanged), (" - ", [" + "], .operatorExchanged),
            (" += ", [" -= "], .operatorExchanged), (" << ", [" >> "], .operatorExchanged),
            (" >> ", [" << "], .operatorExchanged), ("..<", ["..."], .operatorExchanged),
        ]
        return turned.flatMap { operation, others, kind in
            places(of: Array(operation)).flatMap { range in
                others.map { Mutation(kind: kind, range: range, replacement: $0) }
            }
        }
    }

    private func places(of word: [Character]) -> [Range<Int>] {
        guard code.count >= word.count else { return [] }
        return (0...(code.count - word.count)).filter { code[$0..<$0 + word.count].elementsEqual(word) }
            .map { $0..<$0 + word.count }
    }

    private func constants() -> [Mutation] {
        var found: [Mutation] = []
        var index = 0
        while index < code.count {
            guard code[index].isASCII, code[index].isNumber, index == 0 || !isWord(code[index - 1]) else {
                index += 1
                continue
            }
            let end = code[index...].firstIndex { !isWord($0) } ?? code.count
            let digits = String(code[index..<end]).replacingOccurrences(of: "_", with: "")
            let value = digits.hasPrefix("0x") ? Int(digits.dropFirst(2), radix: 16) : Int(digits)
            // `$0` is a name.
            if let value, index == 0 || code[index - 1] != "$" {
                found.append(Mutation(kind: .constantOffByOne, range: index..<end, replacement: "\(value + 1)"))
            }
            index = end
        }
        return found
    }

    private func isWord(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_" || character == "$"
    }

    /// `try check("bind", …)`: what it returned is not looked at.
    private func checks() -> [Mutation] {
        places(of: Array("try check(")).compactMap { range in
            let open = range.upperBound - 1
            guard let close = closing(open), let comma = code[open..<close].firstIndex(of: ",") else { return nil }
            let inner = String(text[(comma + 1)..<close]).trimmingCharacters(in: .whitespaces)
            let line = code[..<range.lowerBound].lastIndex(where: \.isNewline).map { $0 + 1 } ?? 0
            let isAlone = code[line..<range.lowerBound].allSatisfy(\.isWhitespace)
            return Mutation(
                kind: .errorIgnored, range: range.lowerBound..<close + 1,
                replacement: isAlone ? "_ = (\(inner))" : "(\(inner))")
        }
    }

    /// Two neighbours in a call change places, where neither has a label. The smaller of two is the same in any order.
    private func arguments() -> [Mutation] {
        var found: [Mutation] = []
        for open in code.indices where code[open] == "(" && open > 0 && isWord(code[open - 1]) {
            guard let close = closing(open), !["min", "max"].contains(name(before: open)) else { continue }
            var parts: [Range<Int>] = []
            var depth = 0
            var start = open + 1
            for index in open + 1...close {
                if ["(", "[", "{"].contains(code[index]) { depth += 1 }
                if (code[index] == "," || index == close) && depth == 0 {
                    parts.append(start..<index)
                    start = index + 1
                }
                if [")", "]", "}"].contains(code[index]) { depth -= 1 }
            }
            for (one, other) in zip(parts, parts.dropFirst()) {
                let (first, second) = (trimmed(one), trimmed(other))
                guard !first.isEmpty, !second.isEmpty, text[first] != text[second],
                    ![first, second].contains(where: { code[$0].contains(":") || text[$0].first == "\"" })
                else { continue }
                found.append(
                    Mutation(
                        kind: .argumentsSwapped, range: first.lowerBound..<second.upperBound,
                        replacement: String(text[second]) + ", " + String(text[first])))
            }
        }
        return found
    }

    private func name(before index: Int) -> String {
        String(code[..<index].reversed().prefix { isWord($0) }.reversed())
    }

    private func trimmed(_ range: Range<Int>) -> Range<Int> {
        guard let first = range.first(where: { !text[$0].isWhitespace }),
            let last = range.last(where: { !text[$0].isWhitespace })
        else { return range.lowerBound..<range.lowerBound }
        return first..<last + 1
    }
}
