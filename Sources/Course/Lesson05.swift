import Sockets

/// Lesson 05: framing. How a stream of bytes is cut into messages again (sticky packets, 粘包).
public struct Lesson05: LessonContract {
    public static let slug = "05-framing"

    /// A decoder for lines of at most `limit` bytes, not counting the newline.
    public var makeLineDecoder: (_ limit: Int) -> any MessageDecoder
    /// A decoder for frames of at most `limit` bytes, not counting the length.
    public var makeFrameDecoder: (_ limit: Int) -> any MessageDecoder
    /// A u32 big-endian length, then the message.
    public var encodeFrame: ([UInt8]) -> [UInt8]
    /// Sends every frame back as it came, to many clients at once; frames of up to 1 MiB, a longer one closes the
    /// connection.
    public var framedEchoServer: (_ host: String, _ port: UInt16) throws -> Void
    /// Sends name, size and content of the file at `path`; leaves the socket open. Throws if the file cannot be read
    /// whole.
    public var sendFile: (Int32, _ path: String) throws -> Void
    /// Receives one file into `folder` and returns its name; leaves the socket open. Throws `TransferError`.
    public var receiveFile: (Int32, _ folder: String) throws -> String

    public init(
        makeLineDecoder: @escaping (_ limit: Int) -> any MessageDecoder,
        makeFrameDecoder: @escaping (_ limit: Int) -> any MessageDecoder,
        encodeFrame: @escaping ([UInt8]) -> [UInt8],
        framedEchoServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        sendFile: @escaping (Int32, _ path: String) throws -> Void,
        receiveFile: @escaping (Int32, _ folder: String) throws -> String
    ) {
        self.makeLineDecoder = makeLineDecoder
        self.makeFrameDecoder = makeFrameDecoder
        self.encodeFrame = encodeFrame
        self.framedEchoServer = framedEchoServer
        self.sendFile = sendFile
        self.receiveFile = receiveFile
    }

    public var entries: [Entry] {
        [
            // A limit, a stream, and how to cut it: see `chunks`. See `decode` for the answer.
            .function("line-decoder") { a in try decode(with: makeLineDecoder(try a.int(0)), chunks: chunks(a)) },
            .function("frame-decoder") { a in try decode(with: makeFrameDecoder(try a.int(0)), chunks: chunks(a)) },
            // A limit, a pattern, how often it is repeated, and the size of a chunk. See `cost` for the answer.
            .function("line-decoder-cost") { a in try cost(of: makeLineDecoder(try a.int(0)), a) },
            .function("frame-decoder-cost") { a in try cost(of: makeFrameDecoder(try a.int(0)), a) },
            .function("encode-frame") { a in .bytes(encodeFrame(try a.bytes(0))) },
            .server("framed-echo-server", framedEchoServer),
            // One file after another over one socket: what follows a file belongs to the next. Closing it is the caller's
            // business, so it is done here, and the peer sees the end of the stream behind the last byte.
            .function("send-file") { a in
                let socket = try a.descriptor(0)
                defer { close(socket) }
                for index in try a.list(1).indices { try sendFile(socket, try a.list(1).string(index)) }
                return .none
            },
            .function("receive-file") { a in
                let (socket, folder) = (try a.descriptor(0), try a.string(1))
                defer { close(socket) }
                return .list(try (0..<(try a.int(2))).map { _ in .string(try receiveFile(socket, folder)) })
            },
        ]
    }
}

/// Bytes in, messages out, no sockets: it keeps what does not make a message yet.
///
///     decoder.feed(bytes)                          // whatever one recv gave
///     while let message = try decoder.next() { … }
///
/// Messages are asked for one by one, so those before a bad one arrive however the stream was cut.
public protocol MessageDecoder {
    /// - Parameter bytes: the next bytes of the stream, cut anywhere; perhaps none.
    mutating func feed(_ bytes: [UInt8])

    /// - Returns: the next message without its mark, or nil if more bytes are needed for it, which is no error.
    /// - Throws: `FramingError`; the stream cannot be trusted after that, and the decoder is not asked again.
    mutating func next() throws -> [UInt8]?
}

public enum FramingError: Error, Equatable, Sendable {
    /// A message over the limit: known from a length alone, or from `limit` + 1 bytes without a newline.
    case tooLong(limit: Int)
}

public enum TransferError: Error, Equatable, Sendable {
    /// A name that is empty, `.`, `..`, has a `/` or a zero byte, or is not UTF-8.
    case badName
    /// Only so many bytes of the content came: the stream ended before the file did, or, for the sender, the file ended
    /// before the size that was announced. 0 if not even the header came whole.
    case cutShort(after: Int)
}

/// Feeds the chunks one by one; the answer is, for each chunk, the list of messages that it completed. An error ends the
/// answer with its name. So does a decoder that gives more messages than there were bytes: `endless`.
private func decode(with decoder: any MessageDecoder, chunks: [[UInt8]]) -> Value {
    var decoder = decoder
    var answers: [Value] = []
    var bytesLeft = 0
    for chunk in chunks {
        decoder.feed(chunk)
        bytesLeft += chunk.count
        var messages: [Value] = []
        do {
            while let message = try decoder.next() {
                messages.append(.bytes(message))
                bytesLeft -= 1
                if bytesLeft < 0 { return .list(answers + [.list(messages), .string("endless")]) }
            }
            answers.append(.list(messages))
        } catch {
            return .list(answers + [.list(messages), .string("\(error)")])
        }
    }
    return .list(answers)
}

/// How much work a stream is: the number of messages in it, and the CPU time that the decoder took, in nanoseconds.
private func cost(of decoder: any MessageDecoder, _ arguments: [Value]) throws -> Value {
    let (pattern, times, size) = (try arguments.bytes(1), try arguments.int(2), try arguments.int(3))
    let chunks = cut(repeatElement(pattern, count: times).flatMap { $0 }, size)
    var decoder = decoder
    var count = 0
    let start = threadCPUTime()
    for chunk in chunks {
        decoder.feed(chunk)
        while try decoder.next() != nil, count < pattern.count * times { count += 1 }
    }
    return .list([.int(count), .unsigned(threadCPUTime() - start)])
}
