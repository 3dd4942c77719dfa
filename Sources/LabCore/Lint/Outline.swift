// What a lint must know of a Markdown text: headings and their anchors, links, and on which lines they stand.
import Foundation

struct Outline {
    struct Heading {
        var level: Int
        var text: String
        var line: Int
        /// From `<a id="…"></a>` on the lines before it.
        var ids: [String]
        /// GitHub's name for it.
        var anchor: String

        /// The name that the other language's twin must share.
        var name: String { ids.last ?? anchor }
        var names: [String] { ids + [anchor] }
    }

    struct Link {
        var target: String
        var line: Int
    }

    private(set) var headings: [Heading] = []
    private(set) var links: [Link] = []
    /// Of `<a id>`s, wherever they stand.
    private(set) var ids: [(id: String, line: Int)] = []
    let lines: [Substring]
    private var uses: [String: Int] = [:]

    var anchors: Set<String> { Set(headings.map(\.anchor) + ids.map(\.id)) }

    init(_ text: String) {
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        var fence: String?
        var pending: [String] = []
        var wasBlank = true
        var isIndentedCode = false
        for (index, line) in lines.enumerated() {
            let trimmed = line.trimmingCharacters(in: .whitespaces)
            if let open = fence {
                if trimmed.hasPrefix(open) && trimmed.allSatisfy({ $0 == open.first }) { fence = nil }
                continue
            }
            if let mark = ["```", "~~~"].first(where: { trimmed.hasPrefix($0) }) {
                fence = String(trimmed.prefix { $0 == mark.first })
                continue
            }
            // Four spaces after an empty line: code, unless it goes on a list, whose links are not worth missing.
            isIndentedCode = line.hasPrefix("    ") && (wasBlank || isIndentedCode) && !trimmed.hasPrefix("-")
            wasBlank = trimmed.isEmpty
            if isIndentedCode || trimmed.isEmpty { continue }
            read(String(line), trimmed, number: index + 1, &pending)
        }
    }

    private mutating func read(_ line: String, _ trimmed: String, number: Int, _ pending: inout [String]) {
        let own = line.matches(of: /<a (?:id|name)="([^"]+)">/).map { String($0.1) }
        ids += own.map { ($0, number) }
        if let found = line.wholeMatch(of: /(#{1,6})\s+(.*?)\s*#*\s*/) {
            let text = parseInlines(String(found.2)).plain
            headings.append(
                Heading(
                    level: found.1.count, text: text, line: number, ids: pending, anchor: unique(githubAnchor(text))))
            pending = []
            return
        }
        pending = own.isEmpty ? [] : pending + own
        let prose = withoutCode(line)
        for match in prose.matches(of: /\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/) {
            links.append(Link(target: String(match.1), line: number))
        }
        if let found = trimmed.wholeMatch(of: /\[[^\]]+\]:\s*(\S+).*/) {
            links.append(Link(target: String(found.1), line: number))
        }
    }

    /// GitHub numbers headings of the same text: `more`, `more-1`.
    private mutating func unique(_ anchor: String) -> String {
        let count = uses[anchor, default: 0]
        uses[anchor] = count + 1
        return count == 0 ? anchor : "\(anchor)-\(count)"
    }

    private func withoutCode(_ line: String) -> String { line.replacing(/`+[^`]*`+/, with: "") }

    /// The lines below a heading, down to the next one of its level or above; nil if there is no such heading.
    func section(_ anchor: String) -> (heading: Heading, lines: Range<Int>)? {
        guard let index = headings.firstIndex(where: { $0.names.contains(anchor) }) else { return nil }
        let heading = headings[index]
        let next = headings[(index + 1)...].first { $0.level <= heading.level }
        var end = next.map { $0.line - 1 } ?? lines.count
        // The anchors on the lines before a heading are the heading's.
        while next != nil, end > heading.line, lines[end - 1].hasPrefix("<a ") { end -= 1 }
        return (heading, heading.line..<end)
    }
}
