// The marks inside a paragraph: `code`, **strong**, *emphasis*, [links](to), \escapes. What is not closed is text.

func parseInlines(_ text: String) -> [Markdown.Inline] {
    var parser = InlineParser(characters: Array(text))
    return parser.parse(until: nil)
}

private struct InlineParser {
    let characters: [Character]
    var index = 0

    init(characters: [Character]) { self.characters = characters }

    mutating func parse(until end: Int?) -> [Markdown.Inline] {
        var inlines: [Markdown.Inline] = []
        let end = end ?? characters.count
        while index < end {
            let character = characters[index]
            switch character {
            case "\\" where index + 1 < end && "\\`*_{}[]()#+-.!|<>~".contains(characters[index + 1]):
                add(String(characters[index + 1]), to: &inlines)
                index += 2
            case "`":
                if let code = code(before: end) { inlines.append(code) } else { takeText(&inlines) }
            case "*", "_":
                if let marked = emphasis(before: end) { inlines.append(marked) } else { takeText(&inlines) }
            case "[":
                if let link = link(before: end) { inlines.append(link) } else { takeText(&inlines) }
            case "!" where index + 1 < end && characters[index + 1] == "[":
                // An image: its description stands for it.
                index += 1
                if case .link(let inner, _)? = link(before: end) { inlines += inner } else { add("!", to: &inlines) }
            case "<":
                if let target = autolink(before: end) {
                    inlines.append(.link([.text(target)], target: target))
                } else {
                    takeText(&inlines)
                }
            case "\n":
                inlines.append(.lineBreak)
                index += 1
            default: takeText(&inlines)
            }
        }
        return inlines
    }

    private mutating func takeText(_ inlines: inout [Markdown.Inline]) {
        add(String(characters[index]), to: &inlines)
        index += 1
    }

    private func add(_ text: String, to inlines: inout [Markdown.Inline]) {
        if case .text(let before)? = inlines.last {
            inlines[inlines.count - 1] = .text(before + text)
        } else {
            inlines.append(.text(text))
        }
    }

    /// As many backticks end it as began it.
    private mutating func code(before end: Int) -> Markdown.Inline? {
        let length = run(of: "`", at: index, before: end)
        var next = index + length
        while next < end {
            if characters[next] == "`" {
                let other = run(of: "`", at: next, before: end)
                if other == length {
                    var content = String(characters[(index + length)..<next])
                    if content.hasPrefix(" "), content.hasSuffix(" "), content.contains(where: { $0 != " " }) {
                        content = String(content.dropFirst().dropLast())
                    }
                    index = next + length
                    return .code(content)
                }
                next += other
            } else {
                next += 1
            }
        }
        return nil
    }

    private mutating func emphasis(before end: Int) -> Markdown.Inline? {
        let mark = characters[index]
        let length = min(2, run(of: mark, at: index, before: end))
        let start = index + length
        guard start < end, !characters[start].isWhitespace else { return nil }
        // An underscore inside a word is a letter of it: SO_REUSEADDR.
        if mark == "_", index > 0, isWord(characters[index - 1]) { return nil }
        var next = start
        while next < end {
            if characters[next] == "`" {
                next += max(1, codeLength(at: next, before: end))
                continue
            }
            if characters[next] == "\\" {
                next += 2
                continue
            }
            if characters[next] == mark {
                let other = run(of: mark, at: next, before: end)
                let closes = other >= length && !characters[next - 1].isWhitespace && (length == 2 || other != 2)
                let inWord = mark == "_" && next + length < end && isWord(characters[next + length])
                if closes, !inWord {
                    // In `**a *b***` the last two close the strong text.
                    let close = next + other - length
                    var inner = self
                    inner.index = start
                    let content = inner.parse(until: close)
                    index = close + length
                    return length == 2 ? .strong(content) : .emphasis(content)
                }
                next += other
            } else {
                next += 1
            }
        }
        return nil
    }

    private mutating func link(before end: Int) -> Markdown.Inline? {
        var depth = 0
        var next = index
        while next < end {
            switch characters[next] {
            case "`": next += max(1, codeLength(at: next, before: end)) - 1
            case "\\": next += 1
            case "[": depth += 1
            case "]": depth -= 1
            default: break
            }
            if depth == 0 { break }
            next += 1
        }
        guard next + 1 < end, characters[next + 1] == "(",
            let close = characters[(next + 2)..<end].firstIndex(of: ")")
        else { return nil }
        var inner = self
        inner.index = index + 1
        let content = inner.parse(until: next)
        // What follows a space is a title.
        let target = String(characters[(next + 2)..<close].prefix { $0 != " " })
        index = close + 1
        return .link(content, target: target)
    }

    private mutating func autolink(before end: Int) -> String? {
        guard let close = characters[index..<end].firstIndex(of: ">") else { return nil }
        let target = String(characters[(index + 1)..<close])
        guard target.hasPrefix("http://") || target.hasPrefix("https://") else { return nil }
        index = close + 1
        return target
    }

    private func codeLength(at start: Int, before end: Int) -> Int {
        var inner = self
        inner.index = start
        return inner.code(before: end) == nil ? 0 : inner.index - start
    }

    private func run(of mark: Character, at start: Int, before end: Int) -> Int {
        characters[start..<end].prefix { $0 == mark }.count
    }

    private func isWord(_ character: Character) -> Bool { character.isLetter || character.isNumber }
}
