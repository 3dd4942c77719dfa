// What a check says to a stream server, and what must come back.
import Course
import GraderKit
import Sockets
import Wire

/// One exchange that a server can have any number of times, on one connection or on many.
public struct Exchange: Sendable {
    /// What a client sends.
    public var question: [UInt8]
    /// Receives the whole answer, and no more; throws if it is wrong.
    public var expectAnswer: @Sendable (StreamPeer) throws -> Void
    /// What a connection begins with, before its first question: a handshake, as WebSocket has.
    public var opening: Opening?

    /// Whether these bytes may stand before the end of a connection whose client has ended its side: a last word. nil: none.
    public var isGoodbye: (@Sendable ([UInt8]) -> Bool)?

    public struct Opening: Sendable {
        public var bytes: [UInt8]
        /// Receives the whole answer, and no more; throws if it is wrong.
        public var expectAnswer: @Sendable (StreamPeer) throws -> Void
    }

    public init(question: [UInt8], expectAnswer: @escaping @Sendable (StreamPeer) throws -> Void) {
        self.question = question
        self.expectAnswer = expectAnswer
    }

    /// For an answer that is the same every time.
    public init(_ question: String, answer: String) {
        self.init(question: Array(question.utf8)) { try $0.expect(answer) }
    }

    /// The beginning of a connection, where there is one and it was not made yet.
    func beginConnection(_ client: StreamPeer) throws {
        guard let opening, client.received.isEmpty else { return }
        try client.send(opening.bytes)
        try opening.expectAnswer(client)
    }

    /// The client has ended its side, and so does the server, with nothing before it but a goodbye.
    func expectEnd(_ client: StreamPeer) throws {
        guard let isGoodbye else { return try client.expectEnd() }
        let last = try client.receiveToEnd()
        guard last.isEmpty || isGoodbye(last) else {
            throw Failure(
                expected: say("the program closes \(client.name)", "程序关闭\(client.name)"),
                got: say("more bytes: \(quoted(last))", "又收到 \(quoted(last))"))
        }
    }

    /// One question after another, about so many bytes.
    func questions(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count + question.count <= count { bytes += question }
        return bytes
    }

    /// Asks, and gets the answer.
    public func run(_ client: StreamPeer) throws {
        try beginConnection(client)
        try client.send(question)
        try expectAnswer(client)
    }

    /// A client that connects, asks, and leaves when it has its answer.
    public func visit(_ server: Server) throws {
        let client = try server.connect()
        try run(client)
        client.close()
    }

    /// A client's whole life: connects, asks, ends its side, sees the server end its own.
    public func runOnce(_ server: Server) throws {
        let client = try server.connect()
        try run(client)
        client.halfClose()
        try expectEnd(client)
        client.close()
    }
}
