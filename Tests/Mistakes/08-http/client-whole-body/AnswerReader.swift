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
    private(set) var answer: Answer?
    private var count = 0
    private var whole: [UInt8] = []

    init(to method: String, _ options: ClientOptions) {
        let head = options.headLimit
        decoder = ResponseDecoder(
            to: method, limits: RequestLimits(line: head, head: head, fields: head, body: options.bodyLimit))
    }

    private static let mostInterim = 20

    mutating func read(_ received: [UInt8]?, take: (Answer, [UInt8], Int) throws -> Bool) throws -> Bool {
        if let received { decoder.feed(received) }
        while let event = try nextEvent() {
            switch event {
            case .head(let status, let reason, let minorVersion, let fields):
                if status >= 200 {
                    answer = Answer(status: status, reason: reason, minorVersion: minorVersion, fields: fields)
                    continue
                }
                interimCount += 1
                guard status != 101, interimCount <= AnswerReader.mostInterim else { throw ClientError.badResponse }
            case .body(let piece):
                count += piece.count
                whole += piece
            case .end:
                if let answer, !whole.isEmpty { _ = try take(answer, whole, count) }
                isComplete = true
                return false
            }
        }
        guard received == nil else { return true }
        guard decoder.isCompleteAtEnd else { throw ClientError.cutShort }
        if let answer, !whole.isEmpty { _ = try take(answer, whole, count) }
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

    var leavesConnectionUsable: Bool {
        guard isComplete, !decoder.hasRest, let answer else { return false }
        let words = answer.fields.elements("Connection")
        return !words.contains("close") && (answer.minorVersion >= 1 || words.contains("keep-alive"))
    }
}
