// The part of Markdown that the lessons use (CommonMark 0.31 and GitHub's tables), as a tree. Not here: HTML but for
// anchors and comments, reference links, setext headings.
import Foundation
import Wire

/// A parsed text.
public struct Markdown: Equatable, Sendable {
    public var blocks: [Block]

    public indirect enum Block: Equatable, Sendable {
        /// `anchors`: what links may call it, GitHub's name for it last.
        case heading(level: Int, [Inline], anchors: [String])
        case paragraph([Inline])
        case code(language: String, [String])
        /// `start` is nil for bullets.
        case list(start: Int?, [[Block]])
        case quote([Block])
        case table(header: [[Inline]], alignments: [Alignment], rows: [[[Inline]]])
        case rule
    }

    public enum Alignment: Equatable, Sendable {
        case left, center, right
    }

    public indirect enum Inline: Equatable, Sendable {
        case text(String)
        case code(String)
        case strong([Inline])
        case emphasis([Inline])
        case link([Inline], target: String)
        case lineBreak
    }

    public init(_ text: String) {
        var parser = BlockParser(lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
        blocks = parser.parse()
    }

    /// The heading with this anchor and all below it up to the next heading of its level; nil if there is none.
    public func section(_ anchor: String) -> Markdown? {
        guard let start = blocks.firstIndex(where: { $0.anchors.contains(anchor) }),
            case .heading(let level, _, _) = blocks[start]
        else { return nil }
        let end = blocks[(start + 1)...].firstIndex { block in
            if case .heading(let other, _, _) = block { return other <= level }
            return false
        }
        return Markdown(blocks: Array(blocks[start..<(end ?? blocks.endIndex)]))
    }

    /// From the heading with this anchor to the end.
    public func from(_ anchor: String) -> Markdown? {
        blocks.firstIndex { $0.anchors.contains(anchor) }.map { Markdown(blocks: Array(blocks[$0...])) }
    }

    public var anchors: [String] { blocks.flatMap(\.anchors) }

    private init(blocks: [Block]) { self.blocks = blocks }
}

extension Markdown.Block {
    var anchors: [String] {
        if case .heading(_, _, let anchors) = self { return anchors }
        return []
    }
}

extension [Markdown.Inline] {
    /// Without its marks.
    public var plain: String {
        map { inline in
            switch inline {
            case .text(let text), .code(let text): return text
            case .strong(let inner), .emphasis(let inner), .link(let inner, _): return inner.plain
            case .lineBreak: return " "
            }
        }.joined()
    }
}

/// GitHub's name for a heading: lower case, spaces to dashes, all but letters, digits, `-` and `_` dropped.
public func githubAnchor(_ heading: String) -> String {
    String(
        heading.lowercased().compactMap { character in
            if character == " " { return "-" }
            return character.isLetter || character.isNumber || character == "-" || character == "_" ? character : nil
        })
}

/// What makes code of a line outside of a paragraph.
private let indentation = "    "

private struct BlockParser {
    var lines: [String]
    var index = 0
    /// From `<a id="many-clients"></a>`, for the next heading.
    var pendingAnchors: [String] = []

    init(lines: [String]) { self.lines = lines }

    mutating func parse() -> [Markdown.Block] {
        var blocks: [Markdown.Block] = []
        while index < lines.count {
            let line = lines[index]
            let text = line.trimmingCharacters(in: .whitespaces)
            if text.isEmpty {
                index += 1
            } else if line.hasPrefix(indentation) {
                blocks.append(indentedCode())
            } else if let anchor = anchorLine(text) {
                pendingAnchors.append(anchor)
                index += 1
            } else if text.hasPrefix("<!--") {
                skipComment()
            } else if let fence = Fence(line) {
                blocks.append(code(fence))
            } else if let heading = heading(text) {
                blocks.append(heading)
                index += 1
            } else if isRule(text) {
                blocks.append(.rule)
                index += 1
            } else if text.hasPrefix(">") {
                blocks.append(quote())
            } else if ListMarker(line) != nil {
                blocks.append(list())
            } else if let table = table() {
                blocks.append(table)
            } else {
                blocks.append(paragraph())
            }
        }
        return blocks
    }

    private func anchorLine(_ text: String) -> String? {
        guard let match = text.wholeMatch(of: /<a (?:id|name)="([^"]+)"><\/a>/) else { return nil }
        return String(match.1)
    }

    private mutating func skipComment() {
        while index < lines.count {
            index += 1
            if lines[index - 1].contains("-->") { return }
        }
    }

    private mutating func heading(_ text: String) -> Markdown.Block? {
        let level = text.prefix { $0 == "#" }.count
        guard (1...6).contains(level), text.dropFirst(level).first == " " else { return nil }
        var title = text.dropFirst(level).trimmingCharacters(in: .whitespaces)
        while title.hasSuffix("#") { title.removeLast() }
        let inlines = parseInlines(title.trimmingCharacters(in: .whitespaces))
        defer { pendingAnchors = [] }
        return .heading(level: level, inlines, anchors: pendingAnchors + [githubAnchor(inlines.plain)])
    }

    private func isRule(_ text: String) -> Bool {
        let marks = text.filter { $0 != " " }
        guard marks.count >= 3, let mark = marks.first, "-*_".contains(mark) else { return false }
        return marks.allSatisfy { $0 == mark }
    }

    private mutating func code(_ fence: Fence) -> Markdown.Block {
        var content: [String] = []
        index += 1
        while index < lines.count {
            let line = lines[index]
            index += 1
            if fence.isClosed(by: line) { break }
            content.append(String(line.dropFirst(min(fence.indent, line.prefix { $0 == " " }.count))))
        }
        return .code(language: fence.language, content)
    }

    /// Lines that are indented by four spaces, and the blank ones between them.
    private mutating func indentedCode() -> Markdown.Block {
        var content: [String] = []
        while index < lines.count {
            let line = lines[index]
            guard line.hasPrefix(indentation) || line.trimmingCharacters(in: .whitespaces).isEmpty else { break }
            content.append(String(line.dropFirst(indentation.count)))
            index += 1
        }
        while content.last?.isEmpty == true { content.removeLast() }
        return .code(language: "", content)
    }

    private mutating func quote() -> Markdown.Block {
        var inner: [String] = []
        while index < lines.count {
            let text = lines[index].drop { $0 == " " }
            guard text.hasPrefix(">") else { break }
            let rest = text.dropFirst()
            inner.append(String(rest.hasPrefix(" ") ? rest.dropFirst() : rest))
            index += 1
        }
        var parser = BlockParser(lines: inner)
        return .quote(parser.parse())
    }

    private mutating func list() -> Markdown.Block {
        guard let first = ListMarker(lines[index]) else { return .rule }
        var items: [[Markdown.Block]] = []
        while index < lines.count, let marker = ListMarker(lines[index]), marker.isSibling(of: first) {
            var inner = [String(lines[index].dropFirst(marker.content))]
            index += 1
            while index < lines.count {
                let line = lines[index]
                let indent = line.prefix { $0 == " " }.count
                if line.trimmingCharacters(in: .whitespaces).isEmpty {
                    // A blank line belongs to the item only if what follows is indented.
                    guard let next = lines[index...].first(where: { !$0.trimmingCharacters(in: .whitespaces).isEmpty }),
                        next.prefix(while: { $0 == " " }).count >= marker.content
                    else { break }
                    inner.append("")
                } else if indent >= marker.content {
                    inner.append(String(line.dropFirst(marker.content)))
                } else if ListMarker(line) == nil, !startsBlock(line), inner.last?.isEmpty == false {
                    // A lazy continuation of the paragraph.
                    inner.append(line.trimmingCharacters(in: .whitespaces))
                } else {
                    break
                }
                index += 1
            }
            var parser = BlockParser(lines: inner)
            items.append(parser.parse())
            skipBlankBeforeSibling(of: first)
        }
        return .list(start: first.number, items)
    }

    /// Items may have blank lines between them.
    private mutating func skipBlankBeforeSibling(of first: ListMarker) {
        var next = index
        while next < lines.count, lines[next].trimmingCharacters(in: .whitespaces).isEmpty { next += 1 }
        if next < lines.count, let marker = ListMarker(lines[next]), marker.isSibling(of: first) { index = next }
    }

    private mutating func table() -> Markdown.Block? {
        guard index + 1 < lines.count, lines[index].contains("|") else { return nil }
        let delimiters = cells(lines[index + 1])
        guard !delimiters.isEmpty, delimiters.allSatisfy({ $0.wholeMatch(of: /:?-+:?/) != nil }) else { return nil }
        let header = cells(lines[index])
        guard header.count == delimiters.count else { return nil }
        let alignments = delimiters.map { cell -> Markdown.Alignment in
            switch (cell.hasPrefix(":"), cell.hasSuffix(":")) {
            case (true, true): return .center
            case (false, true): return .right
            default: return .left
            }
        }
        index += 2
        var rows: [[[Markdown.Inline]]] = []
        while index < lines.count, lines[index].contains("|") {
            let row = cells(lines[index]).prefix(header.count).map(parseInlines)
            rows.append(row + Array(repeating: [], count: header.count - row.count))
            index += 1
        }
        return .table(header: header.map(parseInlines), alignments: alignments, rows: rows)
    }

    /// The cells of a row; `\|` and a bar inside backticks do not end one.
    private func cells(_ line: String) -> [String] {
        var cells = [""]
        var inCode = false
        var escaped = false
        for character in line.trimmingCharacters(in: .whitespaces) {
            if escaped {
                cells[cells.count - 1] += character == "|" ? "|" : "\\\(character)"
                escaped = false
            } else if character == "\\" {
                escaped = true
            } else if character == "|", !inCode {
                cells.append("")
            } else {
                if character == "`" { inCode.toggle() }
                cells[cells.count - 1].append(character)
            }
        }
        cells = cells.map { $0.trimmingCharacters(in: .whitespaces) }
        if cells.first == "" { cells.removeFirst() }
        if cells.last == "" { cells.removeLast() }
        return cells
    }

    private mutating func paragraph() -> Markdown.Block {
        var text = ""
        while index < lines.count {
            let line = lines[index]
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            if trimmed.isEmpty || !text.isEmpty && startsBlock(line) { break }
            if !text.isEmpty { text += needsSpace(text.last, trimmed.first) ? " " : "" }
            text += trimmed.hasSuffix("\\") ? trimmed.dropLast() + "\n" : trimmed
            if line.hasSuffix("  ") { text += "\n" }
            index += 1
        }
        return .paragraph(parseInlines(text))
    }

    /// The end of a source line is a space, but not between two Chinese characters.
    private func needsSpace(_ left: Character?, _ right: Character?) -> Bool {
        guard let left, let right, left != "\n" else { return false }
        return displayWidth(of: left) < 2 || displayWidth(of: right) < 2
    }

    private func startsBlock(_ line: String) -> Bool {
        let text = line.trimmingCharacters(in: .whitespaces)
        return Fence(line) != nil || text.hasPrefix(">") || text.hasPrefix("<!--") || anchorLine(text) != nil
            || ListMarker(line) != nil || isRule(text)
            || text.prefixMatch(of: #/\#{1,6} /#) != nil
    }
}

private struct Fence {
    var indent: Int
    var mark: Character
    var length: Int
    var language: String

    init?(_ line: String) {
        let text = line.drop { $0 == " " }
        guard let mark = text.first, mark == "`" || mark == "~" else { return nil }
        let length = text.prefix { $0 == mark }.count
        let info = text.dropFirst(length).trimmingCharacters(in: .whitespaces)
        guard length >= 3, !(mark == "`" && info.contains("`")) else { return nil }
        self.indent = line.count - text.count
        self.mark = mark
        self.length = length
        self.language = info
    }

    func isClosed(by line: String) -> Bool {
        let text = line.trimmingCharacters(in: .whitespaces)
        return text.count >= length && text.allSatisfy { $0 == mark }
    }
}

private struct ListMarker {
    var indent: Int
    /// Nil for a bullet.
    var number: Int?
    /// Where the item's text begins.
    var content: Int

    init?(_ line: String) {
        guard let match = line.prefixMatch(of: /( *)([-*+]|[0-9]{1,9}[.)])( +|$)/) else { return nil }
        indent = match.1.count
        number = Int(match.2.dropLast())
        content = indent + match.2.count + max(1, min(4, match.3.count))
    }

    func isSibling(of first: ListMarker) -> Bool {
        (number == nil) == (first.number == nil) && indent <= first.indent + 1
    }
}
