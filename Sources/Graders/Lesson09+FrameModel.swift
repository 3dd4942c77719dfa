// Frame decoders of lesson 09 as they should be, and as they are when somebody made one of the usual mistakes. A student's
// decoder that answers a stream exactly as a mistaken one does, and not as the right one, has made that mistake.
import Course
import Wire

/// What a decoder made of a stream.
struct FrameDecoding: Equatable {
    /// For each chunk, the events that came out after it. Ends with the chunk that led to an error.
    var events: [[WebSocketEvent]] = []
    /// `protocolError`, `invalidText`, `tooLong`; the model's errors and the student's are compared by these.
    var error: String?

    /// The same, whenever it came.
    var flat: FrameDecoding { FrameDecoding(events: [events.flatMap { $0 }], error: error) }
}

/// Named as in `causes` of lesson.json.
enum FrameMistake: String, CaseIterable {
    case lengthLittleEndian = "extended-length-little-endian"
    /// The same, and then it finds that the length is in a longer form than necessary.
    case lengthLittleEndianChecked
    case lengthFourBytes = "length-127-as-four-bytes"
    /// The same, and then it finds that the length is in a longer form than necessary.
    case lengthFourBytesChecked
    case extendedLengthIgnored = "extended-length-ignored"
    case maskNotApplied = "mask-not-applied"
    case maskRestarts = "mask-restarts-each-chunk"
    case maskOverMessage = "mask-index-wrong"
    case maskOverFrame
    case unmaskedAccepted = "masking-rule-ignored"
    case oneChunkOneFrame = "one-chunk-one-frame"
    case restThrownAway = "frames-thrown-away"
    case controlEndsMessage = "control-frame-ends-message"
    case controlJoined = "control-frame-joined"
    case emptyDropped = "empty-frame-dropped"
    case textPerFragment = "utf8-per-fragment"
    // Before the next: while a message is not finished, the two look alike.
    case textAtTheEnd = "utf8-only-at-the-end"
    /// Earlier, but not before the whole frame has come.
    case textByFrame
    case textUnchecked = "text-not-checked"
    // Behind it: of a message in one frame, which is no UTF-8, both make the same.
    case fragmentsApart = "fragments-not-joined"
    case textMayEndCut = "half-character-accepted"
    case reservedBits = "reserved-bits-ignored"
    case unknownOpcode = "unknown-opcode-accepted"
    case fragmentedControl = "fragmented-control-accepted"
    case longControl = "long-control-accepted"
    case longerForm = "longer-form-accepted"
    case highBit = "high-bit-accepted"
    case loneContinuation = "lone-continuation-accepted"
    case messageInMessage = "message-in-message-accepted"
    case closeCodeUnchecked = "close-code-unchecked"
    case halfCloseCode = "half-close-code-accepted"
    case closeCodeLittleEndian = "close-code-little-endian"
    case closeReasonUnchecked = "close-reason-unchecked"
    case afterClose = "decodes-after-close"
    case limitPerFrame = "limit-per-frame"
    case limitOnControl = "limit-on-control-frames"
    case controlResetsText = "control-frame-resets-text"
    case controlCheckedAsText = "control-checked-as-text"
    case limitIgnored = "message-limit-ignored"
    case limitLate = "message-limit-late"
    case limitOffByOne = "message-limit-off-by-one"
    case wrongError = "close-code-of-another-error"

    var cause: String {
        switch self {
        case .lengthLittleEndianChecked: FrameMistake.lengthLittleEndian.rawValue
        case .lengthFourBytesChecked: FrameMistake.lengthFourBytes.rawValue
        case .textByFrame: FrameMistake.textAtTheEnd.rawValue
        case .maskOverFrame: FrameMistake.maskOverMessage.rawValue
        default: rawValue
        }
    }
}

/// A decoder by its mistake.
struct FrameModel {
    var role: WebSocketRole
    var limit: Int
    var mistake: FrameMistake?
    private var buffer: [UInt8] = []
    /// Where the buffer begins in the stream, and where each chunk began: for those who start the mask anew.
    private var position = 0
    private var cuts: [Int] = []
    /// The message whose first fragment has come.
    private var fragments: (opcode: UInt8, bytes: [UInt8])?
    /// From where on its text is checked: for those who forget what they have checked.
    private var textStart = 0
    private var isClosed = false

    private struct Broken: Error { var name: String }

    static func decode(
        _ chunks: [[UInt8]], role: WebSocketRole, limit: Int, mistake: FrameMistake? = nil
    ) -> FrameDecoding {
        var model = FrameModel(role: role, limit: limit, mistake: mistake)
        var decoding = FrameDecoding()
        for chunk in chunks {
            var events: [WebSocketEvent] = []
            do { try model.take(chunk, into: &events) } catch {
                decoding.events.append(events)
                decoding.error = (error as? Broken)?.name
                return decoding
            }
            decoding.events.append(events)
        }
        return decoding
    }

    private init(role: WebSocketRole, limit: Int, mistake: FrameMistake?) {
        (self.role, self.limit, self.mistake) = (role, limit, mistake)
    }

    private mutating func take(_ chunk: [UInt8], into events: inout [WebSocketEvent]) throws {
        if mistake == .oneChunkOneFrame { buffer = [] }
        cuts.append(position + buffer.count)
        buffer += chunk
        while !isClosed || mistake == .afterClose {
            guard let frame = try header() else { return }
            if buffer.count < frame.size + frame.length {
                // Without the whole frame there is still something to be seen: text that is none.
                try look(atPartOf: frame)
                return
            }
            let payload = unmasked(frame, Array(buffer[frame.size..<frame.size + frame.length]))
            buffer.removeFirst(frame.size + frame.length)
            position += frame.size + frame.length
            if let event = try end(of: frame, payload) { events.append(event) }
            if mistake == .oneChunkOneFrame { return }
            if mistake == .restThrownAway { buffer = [] }
        }
    }

    private struct Frame {
        var isFinal: Bool
        var opcode: UInt8
        var mask: [UInt8]?
        var size: Int
        var length: Int
        var isControl: Bool { opcode & 8 != 0 }
    }

    private func broken(_ name: String) -> Broken {
        guard mistake == .wrongError else { return Broken(name: name) }
        return Broken(name: name == "protocolError" ? "invalidText" : "protocolError")
    }

    private func header() throws -> Frame? {
        guard buffer.count >= 2 else {
            if let first = buffer.first { try check(first: first) }
            return nil
        }
        try check(first: buffer[0])
        let (opcode, isFinal) = (buffer[0] & 0x0F, buffer[0] & 0x80 != 0)
        let isMasked = buffer[1] & 0x80 != 0
        if isMasked != (role == .server), mistake != .unmaskedAccepted { throw broken("protocolError") }
        let short = Int(buffer[1] & 0x7F)
        if opcode & 8 != 0, short > 125, mistake != .longControl { throw broken("protocolError") }
        var more = short == 126 ? 2 : short == 127 ? 8 : 0
        if mistake == .lengthFourBytes || mistake == .lengthFourBytesChecked, short == 127 { more = 4 }
        if mistake == .extendedLengthIgnored { more = 0 }
        guard buffer.count >= 2 + more else { return nil }
        var bytes = Array(buffer[2..<2 + more])
        if mistake == .lengthLittleEndian || mistake == .lengthLittleEndianChecked { bytes.reverse() }
        var length = more == 0 ? UInt64(short) : bytes.reduce(0) { $0 << 8 | UInt64($1) }
        if more == 2 && length < 126 || more == 8 && length < 65536
            || mistake == .lengthFourBytesChecked && more == 4 && length < 65536, mistake != .longerForm
        {
            if mistake != .lengthLittleEndian { throw broken("protocolError") }
        }
        if length >> 63 != 0 {
            if mistake != .highBit { throw broken("protocolError") }
            length = length & ~(1 << 63)
        }
        if opcode & 8 == 0 || mistake == .limitOnControl {
            let before = mistake == .limitPerFrame || opcode & 8 != 0 ? 0 : fragments?.bytes.count ?? 0
            let most = mistake == .limitOffByOne ? limit - 1 : limit
            if length > UInt64(max(0, most - before)), mistake != .limitIgnored, mistake != .limitLate {
                throw broken("tooLong")
            }
        }
        let size = 2 + more + (isMasked ? 4 : 0)
        guard buffer.count >= size else { return nil }
        return Frame(
            isFinal: isFinal, opcode: opcode, mask: isMasked ? Array(buffer[size - 4..<size]) : nil, size: size,
            length: Int(clamping: min(length, 1 << 62)))
    }

    private func check(first: UInt8) throws {
        let (opcode, isFinal) = (first & 0x0F, first & 0x80 != 0)
        if first & 0x70 != 0, mistake != .reservedBits { throw broken("protocolError") }
        switch opcode {
        case 0:
            if fragments == nil, mistake != .loneContinuation, mistake != .fragmentsApart {
                throw broken("protocolError")
            }
        case 1, 2: if fragments != nil, mistake != .messageInMessage { throw broken("protocolError") }
        case 8, 9, 10: if !isFinal, mistake != .fragmentedControl { throw broken("protocolError") }
        default: if mistake != .unknownOpcode { throw broken("protocolError") }
        }
    }

    private func unmasked(_ frame: Frame, _ payload: [UInt8]) -> [UInt8] {
        guard let mask = frame.mask, mistake != .maskNotApplied else { return payload }
        switch mistake {
        case .maskRestarts: break
        // What came before the payload is counted, too: the message's fragments, or the frame's header.
        case .maskOverMessage where !frame.isControl:
            return masked(payload, with: mask, from: fragments?.bytes.count ?? 0)
        case .maskOverFrame: return masked(payload, with: mask, from: frame.size)
        default: return masked(payload, with: mask)
        }
        let start = position + frame.size
        return payload.enumerated().map { index, byte in
            let cut = cuts.last { $0 <= start + index } ?? 0
            return byte ^ mask[(start + index - max(start, cut)) % 4]
        }
    }

    private func look(atPartOf frame: Frame) throws {
        if frame.isControl {
            let part = unmasked(frame, Array(buffer[frame.size...]))
            if mistake == .controlCheckedAsText, UTF8Look(part).isWrong { throw broken("invalidText") }
            return
        }
        guard (frame.opcode == 1 ? 1 : fragments?.opcode) == 1 else { return }
        switch mistake {
        case .textUnchecked, .textAtTheEnd, .textByFrame, .textPerFragment: return
        default: break
        }
        let part = unmasked(frame, Array(buffer[frame.size...]))
        if UTF8Look((fragments?.bytes.dropFirst(textStart) ?? []) + part).isWrong { throw broken("invalidText") }
    }

    private mutating func end(of frame: Frame, _ payload: [UInt8]) throws -> WebSocketEvent? {
        switch frame.opcode {
        case 8: return try close(payload)
        case 9, 10:
            if mistake == .controlEndsMessage { fragments = nil }
            if mistake == .controlResetsText { textStart = fragments?.bytes.count ?? 0 }
            if mistake == .controlCheckedAsText, !UTF8Look(payload).isWhole { throw broken("invalidText") }
            if mistake == .controlJoined, fragments != nil { fragments?.bytes += payload }
            return frame.opcode == 9 ? .ping(payload) : .pong(payload)
        case 0, 1, 2: break
        default: return nil
        }
        if mistake == .emptyDropped, payload.isEmpty { return nil }
        let before = frame.opcode == 0 ? fragments : nil
        let opcode = before?.opcode ?? (frame.opcode == 0 ? 2 : frame.opcode)
        if mistake == .fragmentsApart {
            fragments = frame.isFinal ? nil : (opcode, [])
            return opcode == 1 ? .text(payload) : .binary(payload)
        }
        let bytes = (before?.bytes ?? []) + payload
        if mistake == .limitLate, bytes.count > limit { throw broken("tooLong") }
        if before == nil { textStart = 0 }
        if opcode == 1 { try check(Array(bytes.dropFirst(textStart)), last: payload, isFinal: frame.isFinal) }
        guard frame.isFinal else {
            fragments = (opcode, bytes)
            return nil
        }
        (fragments, textStart) = (nil, 0)
        return opcode == 1 ? .text(bytes) : .binary(bytes)
    }

    private func check(_ text: [UInt8], last: [UInt8], isFinal: Bool) throws {
        switch mistake {
        case .textUnchecked: return
        case .textAtTheEnd: if isFinal, !UTF8Look(text).isWhole { throw broken("invalidText") }
        case .textPerFragment: if !UTF8Look(last).isWhole { throw broken("invalidText") }
        case .textMayEndCut: if UTF8Look(text).isWrong { throw broken("invalidText") }
        default:
            let look = UTF8Look(text)
            if look.isWrong || isFinal && !look.isWhole { throw broken("invalidText") }
        }
    }

    private mutating func close(_ payload: [UInt8]) throws -> WebSocketEvent {
        isClosed = true
        if payload.isEmpty { return .close(code: nil, reason: "") }
        if payload.count == 1 {
            guard mistake == .halfCloseCode else { throw broken("protocolError") }
            return .close(code: nil, reason: "")
        }
        var code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        if mistake == .closeCodeLittleEndian { code = code.byteSwapped }
        let isAllowed = (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code)
        if !isAllowed, mistake != .closeCodeUnchecked, mistake != .closeCodeLittleEndian {
            throw broken("protocolError")
        }
        let reason = Array(payload[2...])
        if !UTF8Look(reason).isWhole, mistake != .closeReasonUnchecked { throw broken("invalidText") }
        return .close(code: code, reason: String(decoding: reason, as: UTF8.self))
    }
}

/// Is this UTF-8 (RFC 3629)? By the table of well-formed sequences, one character after another.
struct UTF8Look {
    /// Some byte cannot stand where it stands.
    private(set) var isWrong = false
    /// No character is missing a byte at the end.
    private(set) var isWhole = true

    init(_ bytes: [UInt8]) {
        var index = 0
        while index < bytes.count {
            let ranges: [ClosedRange<UInt8>]
            let tail: ClosedRange<UInt8> = 0x80...0xBF
            switch bytes[index] {
            case 0x00...0x7F: ranges = []
            case 0xC2...0xDF: ranges = [tail]
            case 0xE0: ranges = [0xA0...0xBF, tail]
            case 0xE1...0xEC, 0xEE, 0xEF: ranges = [tail, tail]
            case 0xED: ranges = [0x80...0x9F, tail]
            case 0xF0: ranges = [0x90...0xBF, tail, tail]
            case 0xF1...0xF3: ranges = [tail, tail, tail]
            case 0xF4: ranges = [0x80...0x8F, tail, tail]
            default:
                (isWrong, isWhole) = (true, false)
                return
            }
            for (offset, range) in ranges.enumerated() {
                guard index + 1 + offset < bytes.count else {
                    isWhole = false
                    return
                }
                guard range.contains(bytes[index + 1 + offset]) else {
                    (isWrong, isWhole) = (true, false)
                    return
                }
            }
            index += 1 + ranges.count
        }
    }
}
