// Text with styles, as runs: what every renderer here returns. Colour is decided once, where it is printed, so the same
// lines serve a terminal, a pipe and a golden file.
import Wire

/// How a run looks. Styles are named for what they mean; `StyledText.ansi` turns them into SGR codes (ECMA-48).
public struct Style: Equatable, Sendable {
    public enum Color: Int, Sendable {
        case red = 31
        case green = 32
        case yellow = 33
        case blue = 34
        case magenta = 35
        case cyan = 36
    }

    public var color: Color?
    public var bold = false
    public var dim = false
    public var italic = false
    public var underline = false
    public var reverse = false

    public init(
        _ color: Color? = nil, bold: Bool = false, dim: Bool = false, italic: Bool = false, underline: Bool = false,
        reverse: Bool = false
    ) {
        self.color = color
        self.bold = bold
        self.dim = dim
        self.italic = italic
        self.underline = underline
        self.reverse = reverse
    }

    public static let plain = Style()
    public static let strong = Style(bold: true)
    public static let quiet = Style(dim: true)
    public static let emphasis = Style(italic: true)
    public static let good = Style(.green)
    public static let bad = Style(.red)
    public static let waiting = Style(.yellow)
    public static let code = Style(.cyan)
    public static let link = Style(.blue, underline: true)
    public static let selected = Style(reverse: true)

    var codes: String {
        var numbers: [Int] = []
        if bold { numbers.append(1) }
        if dim { numbers.append(2) }
        if italic { numbers.append(3) }
        if underline { numbers.append(4) }
        if reverse { numbers.append(7) }
        if let color { numbers.append(color.rawValue) }
        return numbers.map(String.init).joined(separator: ";")
    }
}

/// One line (or one paragraph, before `wrapped`).
public struct StyledText: Equatable, Sendable, ExpressibleByStringLiteral {
    public struct Run: Equatable, Sendable {
        public var text: String
        public var style: Style
    }

    public private(set) var runs: [Run] = []

    public init() {}
    public init(stringLiteral value: String) { append(value) }
    public init(_ text: String, _ style: Style = .plain) { append(text, style) }

    public mutating func append(_ text: String, _ style: Style = .plain) {
        guard !text.isEmpty else { return }
        if runs.last?.style == style {
            runs[runs.count - 1].text += text
        } else {
            runs.append(Run(text: text, style: style))
        }
    }

    public mutating func append(_ other: StyledText) { for run in other.runs { append(run.text, run.style) } }

    public static func + (left: StyledText, right: StyledText) -> StyledText {
        var sum = left
        sum.append(right)
        return sum
    }

    public static func += (left: inout StyledText, right: StyledText) { left.append(right) }

    public var plain: String { runs.map(\.text).joined() }
    public var isEmpty: Bool { runs.isEmpty }

    /// Columns on a terminal.
    public var width: Int { runs.reduce(0) { $0 + displayWidth($1.text) } }

    /// Ready to print. Without colour nothing but the text is left: no escape of any kind.
    public func rendered(color: Bool) -> String {
        guard color else { return plain }
        return runs.map { run in
            let codes = run.style.codes
            return codes.isEmpty ? run.text : "\u{1b}[\(codes)m\(run.text)\u{1b}[0m"
        }.joined()
    }

    /// Spaces up to `width` columns; nothing if it is that wide already.
    public func padded(to width: Int) -> StyledText {
        self + StyledText(String(repeating: " ", count: max(0, width - self.width)))
    }

    /// This at the left, `right` ending in column `width`; at least two spaces between.
    public func justified(with right: StyledText, to width: Int) -> StyledText {
        self + StyledText(String(repeating: " ", count: max(2, width - self.width - right.width))) + right
    }

    /// The first `width` columns; what is cut is marked by an ellipsis.
    public func truncated(to width: Int) -> StyledText {
        guard self.width > width else { return self }
        guard width > 0 else { return StyledText() }
        var cut = StyledText()
        var used = 0
        for cell in cells {
            let wide = displayWidth(of: cell.character)
            if used + wide > width - 1 { break }
            cut.append(String(cell.character), cell.style)
            used += wide
        }
        cut.append("…", runs.last?.style ?? .plain)
        return cut
    }

    struct Cell {
        var character: Character
        var style: Style
    }

    var cells: [Cell] { runs.flatMap { run in run.text.map { Cell(character: $0, style: run.style) } } }

    init(cells: some Sequence<Cell>) { for cell in cells { append(String(cell.character), cell.style) } }
}

extension String {
    /// Spaces at the right up to `width` columns.
    public func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - displayWidth(self)))
    }

    /// Spaces at the left up to `width` columns.
    public func leftPadded(to width: Int) -> String {
        String(repeating: " ", count: max(0, width - displayWidth(self))) + self
    }
}
