// Markdown for a terminal. With colour, styles stand for the marks; without, the marks that carry meaning stay.
import Foundation
import Wire

public struct MarkdownText: Sendable {
    public var width: Int
    /// Without colour, `code` keeps its backticks and *emphasis* its stars: nothing else would show them.
    public var color: Bool

    public init(width: Int, color: Bool) {
        self.width = max(20, width)
        self.color = color
    }

    public func lines(_ markdown: Markdown) -> [StyledText] { lines(markdown.blocks, width) }

    private func lines(_ blocks: [Markdown.Block], _ width: Int) -> [StyledText] {
        var lines: [StyledText] = []
        for (index, block) in blocks.enumerated() {
            if index > 0 { lines.append(StyledText()) }
            lines += text(block, width, first: index == 0)
        }
        return lines
    }

    private func text(_ block: Markdown.Block, _ width: Int, first: Bool) -> [StyledText] {
        switch block {
        case .heading(let level, let inlines, _): return heading(level, inlines, width, first)
        case .paragraph(let inlines): return styled(inlines, .plain).wrapped(to: width)
        case .code(_, let content): return code(content)
        case .list(let start, let items): return list(start, items, width)
        case .quote(let inner):
            return lines(inner, width - 2).map { StyledText("▎ ", .waiting) + $0 }
        case .table(let header, let alignments, let rows):
            return TableText(width: width).lines(
                header: header.map { styled($0, .strong) }, alignments, rows: rows.map { $0.map { styled($0, .plain) } }
            )
        case .rule: return [StyledText(String(repeating: "─", count: width), .quiet)]
        }
    }

    private func heading(_ level: Int, _ inlines: [Markdown.Inline], _ width: Int, _ first: Bool) -> [StyledText] {
        switch level {
        case 1:
            let title = styled(inlines, .strong).wrapped(to: width)
            let rule = String(repeating: "━", count: min(width, title.map(\.width).max() ?? 0))
            return title + [StyledText(rule, .good)]
        case 2:
            let title = styled(inlines, Style(.green, bold: true)).wrapped(to: width)
            if color { return (first ? [] : [StyledText()]) + title }
            let rule = String(repeating: "─", count: min(width, title.map(\.width).max() ?? 0))
            return (first ? [] : [StyledText()]) + title + [StyledText(rule)]
        default: return styled(inlines, .strong).wrapped(to: width)
        }
    }

    /// Never wrapped: in a picture of bytes the columns are the meaning.
    private func code(_ content: [String]) -> [StyledText] {
        content.map { line in
            let line = visibleLines(line).joined()
            return line.isEmpty ? StyledText() : StyledText("    ") + StyledText(line, .code)
        }
    }

    private func list(_ start: Int?, _ items: [[Markdown.Block]], _ width: Int) -> [StyledText] {
        // A list whose items are single paragraphs stays tight.
        let loose = items.contains { item in
            item.count > 1
                && !item.dropFirst().allSatisfy {
                    if case .list = $0 { return true }
                    return false
                }
        }
        var lines: [StyledText] = []
        for (index, item) in items.enumerated() {
            if index > 0, loose { lines.append(StyledText()) }
            let marker = start.map { "\($0 + index).".padded(to: 3) + " " } ?? "  • "
            let indent = displayWidth(marker)
            var inner: [StyledText] = []
            for (position, block) in item.enumerated() {
                if position > 0, loose { inner.append(StyledText()) }
                inner += text(block, width - indent, first: true)
            }
            for (row, line) in inner.enumerated() {
                let lead = row == 0 ? StyledText(marker, .quiet) : StyledText(String(repeating: " ", count: indent))
                lines.append(line.isEmpty && row > 0 ? StyledText() : lead + line)
            }
        }
        return lines
    }

    private func styled(_ inlines: [Markdown.Inline], _ base: Style) -> StyledText {
        var text = StyledText()
        for inline in inlines {
            switch inline {
            case .text(let content): text.append(content, base)
            case .code(let content):
                if color {
                    var style = base
                    style.color = .cyan
                    text.append(content, style)
                } else {
                    text.append("`\(content)`", base)
                }
            case .strong(let inner):
                var style = base
                style.bold = true
                text += color ? styled(inner, style) : StyledText("**") + styled(inner, style) + StyledText("**")
            case .emphasis(let inner):
                var style = base
                style.italic = true
                text += color ? styled(inner, style) : StyledText("*") + styled(inner, style) + StyledText("*")
            case .link(let inner, let target): text += link(inner, target, base)
            case .lineBreak: text.append("\n", base)
            }
        }
        return text
    }

    /// A place in the same text needs no address; any other is shown, unless it is the link's own text.
    private func link(_ inner: [Markdown.Inline], _ target: String, _ base: Style) -> StyledText {
        var style = base
        style.underline = true
        let label = styled(inner, style)
        if target.hasPrefix("#") || inner.plain == target { return label }
        return label + StyledText(" (\(target))", .quiet)
    }
}

/// A table drawn with as few lines as it needs. Columns that do not fit share the width by what they hold.
private struct TableText {
    var width: Int

    func lines(header: [StyledText], _ alignments: [Markdown.Alignment], rows: [[StyledText]]) -> [StyledText] {
        let widths = columnWidths([header] + rows)
        var lines = row(header, widths, alignments)
        lines.append(StyledText(widths.map { String(repeating: "─", count: $0) }.joined(separator: "──"), .quiet))
        let wrapped = rows.map { row($0, widths, alignments) }
        let loose = wrapped.contains { $0.count > 1 }
        for (index, part) in wrapped.enumerated() {
            if loose, index > 0 { lines.append(StyledText()) }
            lines += part
        }
        return lines
    }

    private func columnWidths(_ rows: [[StyledText]]) -> [Int] {
        var widths = rows.reduce(into: [Int](repeating: 1, count: rows[0].count)) { widths, row in
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.width) }
        }
        // Take from the widest until all fit, leaving each at least 8.
        while widths.reduce(0, +) + 2 * (widths.count - 1) > width,
            let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > 8
        {
            widths[widest] -= 1
        }
        return widths
    }

    private func row(_ cells: [StyledText], _ widths: [Int], _ alignments: [Markdown.Alignment]) -> [StyledText] {
        let parts = zip(cells, widths).map { $0.wrapped(to: $1) }
        return (0..<(parts.map(\.count).max() ?? 0)).map { line in
            var text = StyledText()
            for (column, part) in parts.enumerated() {
                let cell = line < part.count ? part[line] : StyledText()
                let space = max(0, widths[column] - cell.width)
                let before: Int
                switch alignments[column] {
                case .left: before = 0
                case .center: before = space / 2
                case .right: before = space
                }
                if column > 0 { text.append("  ") }
                text += StyledText(String(repeating: " ", count: before)) + cell
                if column < parts.count - 1 { text.append(String(repeating: " ", count: space - before)) }
            }
            return text
        }
    }
}
