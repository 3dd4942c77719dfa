// Both sides of one check, side by side in time: what the grader did at the left, what the program did at the right.
import Course
import GraderKit

public struct TraceText: Sendable {
    public var width: Int
    /// The heading of the right column.
    public var program: String

    public init(width: Int, program: String) {
        self.width = max(40, width)
        self.program = program
    }

    public func lines(_ trace: [TraceLine]) -> [StyledText] {
        let side = (width - timeWidth - 3) / 2
        let heading =
            StyledText(String("ms").leftPadded(to: timeWidth - 2) + "  ", .quiet)
            + StyledText(say("grader", "评测程序").padded(to: side) + " │ ", .quiet) + StyledText(program, .quiet)
        var lines = [heading]
        let lanes = Set(trace.compactMap(\.lane)).count > 1
        var last: Double?
        for event in trace.sorted(by: { $0.at < $1.at }) {
            // A second in which nothing happened is worth seeing.
            if let last, event.at - last >= 1000 {
                lines.append(
                    StyledText("⋯".leftPadded(to: timeWidth - 2) + "  ", .waiting)
                        + StyledText(duration((event.at - last) / 1000), .waiting))
            }
            last = event.at
            let text = (lanes ? event.lane.map { "[\($0)] " } ?? "" : "") + visible(event.text)
            lines += row(event, text, side)
        }
        return lines
    }

    private var timeWidth: Int { 11 }

    private func row(_ event: TraceLine, _ text: String, _ side: Int) -> [StyledText] {
        let bar = StyledText(" │ ", .quiet)
        let time = StyledText(tenths(event.at).leftPadded(to: timeWidth - 2) + "  ", .quiet)
        let blank = StyledText(String(repeating: " ", count: timeWidth))
        return StyledText(text, event.side == .program ? .code : .plain).wrapped(to: side, hanging: 2).enumerated().map
        {
            index, part in
            let start = index == 0 ? time : blank
            switch event.side {
            case .grader: return start + part.padded(to: side) + bar
            case .program: return start + StyledText(String(repeating: " ", count: side)) + bar + part
            }
        }
    }
}
