// Lines for the rows of a ladder: the client's calls at the left, the server's at the right, what went between them in the
// middle, and under it its bytes.
import Course
import Sockets
import Wire

struct LadderText {
    /// Of the whole drawing.
    var columns: Int
    /// What stands on the arrow of these bytes instead of the bytes as text; nil for bytes that it does not know.
    var label: (@Sendable (_ bytes: [UInt8]) -> String?)?

    /// The segments of an opening and a closing are drawn one below the other.
    var showsSegments = false
    /// Between sockets of the Unix domain there are no segments.
    var isUnix = false

    init(columns: Int) { self.columns = min(max(columns, 80), 140) }

    /// Columns of the arrows: 22 of 80.
    var middle: Int { 22 + (columns - 80) * 2 / 5 }
    /// Columns of a side: 28 of 80.
    var side: Int { (columns - middle - 2) / 2 }

    func heading(left: String, right: String) -> [StyledText] {
        let line = String(repeating: "─", count: side)
        return [
            StyledText(left, .strong).truncated(to: side).padded(to: side + middle + 2)
                + StyledText(right, .strong).truncated(to: side),
            StyledText(line, .quiet).padded(to: side + middle + 2) + StyledText(line, .quiet),
        ]
    }

    func row(left: StyledText, right: StyledText) -> [StyledText] {
        [trimmed(left.truncated(to: side).padded(to: side + middle + 2) + right.truncated(to: side))]
    }

    func lines(_ row: LadderRow) -> [StyledText] {
        var line = text(row, .left).padded(to: side + 1)
        line += row.arrow.map(arrow) ?? StyledText(String(repeating: " ", count: middle))
        line += StyledText(" ") + text(row, .right)
        return [trimmed(line)] + (row.arrow.flatMap(bytes).map { [$0] } ?? []) + segments(row.arrow)
    }

    /// What the kernels send of themselves after the first segment.
    private func segments(_ arrow: Arrow?) -> [StyledText] {
        guard showsSegments, let arrow, arrow.reach == .across || arrow.reach == .intoBuffer else { return [] }
        let answers: [(String, Side)]
        switch arrow.content {
        case .handshake: answers = [("SYN ACK", arrow.to.opposite), ("ACK", arrow.to)]
        case .end: answers = [("ACK", arrow.to.opposite)]
        default: return []
        }
        return answers.map { name, side in
            StyledText(String(repeating: " ", count: self.side + 1))
                + self.arrow(Arrow(to: side, content: .segment(name)))
        }
    }

    private func trimmed(_ line: StyledText) -> StyledText {
        var cells = line.cells
        while cells.last?.character == " " { cells.removeLast() }
        return StyledText(cells: cells)
    }

    private func text(_ row: LadderRow, _ side: Side) -> StyledText {
        if let arrow = row.arrow, row.isFree(side), let remark = remark(arrow, side) { return remark }
        return cell(row[side])
    }

    /// What the network did, in the place of the call that there is none of.
    private func remark(_ arrow: Arrow, _ side: Side) -> StyledText? {
        switch arrow.reach {
        case .lost where side == arrow.to: return StyledText(say("lost", "丢失"), .bad)
        case .delayed(let milliseconds) where side == arrow.to:
            return StyledText(say("late by \(milliseconds) ms", "迟到 \(milliseconds) 毫秒"), .waiting)
        case .overtaken where side == arrow.to:
            return StyledText(say("held until the next passes", "扣住，等后面的先过"), .waiting)
        case .again where side != arrow.to: return StyledText(say("the same again", "重复到达"), .waiting)
        case .late where side != arrow.to: return StyledText(say("the late one", "迟到的到了"), .waiting)
        default: return nil
        }
    }

    private func cell(_ cell: LadderRow.Cell?) -> StyledText {
        switch cell {
        case .call(let call, let lane, let note)?:
            let tag = lane.isEmpty ? StyledText() : StyledText(lane + " ", .waiting)
            let style: Style = call.returned == nil ? .quiet : call.failed ? .bad : .plain
            let room = side - tag.width - displayWidth(note)
            return tag + StyledText(columnText(call, room: room), style) + StyledText(note, .waiting)
        case .stranger(let address)?: return StyledText(address, .quiet).truncated(to: side)
        case nil: return StyledText()
        }
    }

    // MARK: Arrows

    private func arrow(_ arrow: Arrow) -> StyledText {
        let style: Style
        switch (arrow.content, arrow.reach) {
        case (.reset, _), (.refused, _), (_, .lost): style = .bad
        case (.bytes, _): style = Style(.green)
        case (.handshake, _), (.end, _), (.segment, _): style = .code
        }
        // Drawn as if it went to the right; a mirror does the rest.
        var tail = "─"
        var head = "▶"
        var room = middle
        switch arrow.reach {
        case .across:
            // A connect sends to and fro.
            if arrow.content == .handshake && !showsSegments || arrow.content == .refused("SYN, RST") { tail = "◀" }
        case .intoBuffer: head = "▶┆"
        case .fromBuffer: tail = "┆─"
        case .again, .late: tail = "┄─"
        case .branch: tail = "├─"
        case .lost:
            head = "╳"
            room -= 3
        case .delayed, .overtaken:
            head = "─┄"
            room -= 3
        }
        let ends = displayWidth(tail) + displayWidth(head)
        let text = " " + content(arrow, room: room - ends - 4) + " "
        let fill = max(0, room - ends - displayWidth(text))
        let before = String(repeating: "─", count: fill / 2)
        let after = String(repeating: "─", count: fill - fill / 2)
        let spare = String(repeating: " ", count: middle - room)
        if arrow.to == .right { return StyledText(tail + before + text + after + head + spare, style) }
        let mirrored = { (part: String) in String(part.reversed()).map { $0 == "▶" ? "◀" : $0 == "◀" ? "▶" : $0 } }
        return StyledText(spare + String(mirrored(head)) + after + text + before + String(mirrored(tail)), style)
    }

    private func content(_ arrow: Arrow, room: Int) -> String {
        let text: String
        switch arrow.content {
        case .handshake:
            if arrow.reach == .fromBuffer {
                text = say("from the queue", "从队列取出")
            } else {
                text = isUnix ? say("connection", "连接") : showsSegments ? "SYN" : "SYN, SYN ACK, ACK"
            }
        case .end: text = isUnix ? say("end", "结束") : "FIN"
        case .segment(let name): text = name
        case .reset: text = "RST"
        case .refused(let how): text = how
        case .bytes(let bytes, let count):
            if let label = label?(bytes) {
                text = label
            } else if count > 0, isReadable(bytes, total: count) {
                text = shownText(bytes, total: count, room: room)
            } else {
                // Their hex stands below.
                text = say(count == 1 ? "1 byte" : "\(count) bytes", "\(count) 字节")
            }
        }
        return StyledText(text).truncated(to: room + 2).plain
    }

    /// The bytes in hex, in the middle of the whole drawing.
    private func bytes(_ arrow: Arrow) -> StyledText? {
        guard case .bytes(let bytes, let count) = arrow.content, count > 0 else { return nil }
        let most = columns / 3
        let shown = bytes.prefix(count <= most ? most : most - 8)
        var text = shown.map(hex).joined(separator: " ")
        if count > shown.count { text += say(" … (\(count) bytes)", " ……（共 \(count) 字节）") }
        let start = max(0, (columns - displayWidth(text)) / 2)
        return StyledText(String(repeating: " ", count: start)) + StyledText(text, .quiet)
    }
}
