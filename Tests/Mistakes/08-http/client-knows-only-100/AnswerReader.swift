// From the bytes of one connection to the answer to one request: what the client wants to know of ResponseDecoder's events.
import Course

struct Answer {
    var status: Int
    var reason: String
    var minorVersion: Int
    var fields: [HTTPField]
}

struct AnswerReader {
    private var decoder: ResponseDecoder
    private var isComplete = false
    private var interimCount = 0
    /// The head, once it is there.
    private(set) var answer: Answer?
    private var count = 0

    init(to method: String, _ options: ClientOptions) {
        let head = options.headLimit
        decoder = ResponseDecoder(
            to: method, limits: RequestLimits(line: head, head: head, fields: head, body: options.bodyLimit))
    }

    /// Before its answer a server may say that it goes on (100, 102, 103), but not for ever.
    private static let mostInterim = 20

    /// - Parameter received: the next bytes, or nil when the connection has ended.
    /// - Parameter take: gets each piece of the body, and how many bytes there were with it; returns whether more is wanted.
    /// - Returns: whether more is to be received.
    /// - Throws: `ClientError`, and what `take` throws.
    mutating func read(_ received: [UInt8]?, take: (Answer, [UInt8], Int) throws -> Bool) throws -> Bool {
        if let received { decoder.feed(received) }
        while let event = try nextEvent() {
            switch event {
            case .head(let status, let reason, let minorVersion, let fields):
                if status != 100 {
                    answer = Answer(status: status, reason: reason, minorVersion: minorVersion, fields: fields)
                    continue
                }
                interimCount += 1
                // 101 changes the protocol, which was not asked for.
                guard status != 101, interimCount <= AnswerReader.mostInterim else { throw ClientError.badResponse }
            case .body(let piece):
                count += piece.count
                guard let answer else { continue }
                if try !take(answer, piece, count) { return false }
            case .end:
                isComplete = true
                return false
            }
        }
        guard received == nil else { return true }
        guard decoder.isCompleteAtEnd else { throw ClientError.cutShort }
        return false
    }

    private mutating func nextEvent() throws -> ResponseEvent? {
        do { return try decoder.next() } catch let error as MessageError {
            switch error {
            case .startLineTooLong, .fieldsTooLong, .bodyTooLong: throw ClientError.tooLong
            case .malformed, .unknownCoding, .unknownVersion: throw ClientError.badResponse
            }
        }
    }

    /// Another request may follow on the same connection (RFC 9112 section 9.3): the end of this answer is known, nothing
    /// came behind it, and the server has not said that it closes.
    var leavesConnectionUsable: Bool {
        guard isComplete, !decoder.hasRest, let answer else { return false }
        let words = answer.fields.elements("Connection")
        return !words.contains("close") && (answer.minorVersion >= 1 || words.contains("keep-alive"))
    }
}
