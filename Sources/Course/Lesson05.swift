/// Lesson 05: framing. How a stream of bytes is cut into messages again (sticky packets, 粘包).
public struct Lesson05: LessonContract {
    public static let slug = "05-framing"

    /// A decoder for lines of at most `limit` bytes, not counting the newline.
    public var makeLineDecoder: (_ limit: Int) -> any MessageDecoder
    /// A decoder for frames of at most `limit` bytes, not counting the length.
    public var makeFrameDecoder: (_ limit: Int) -> any MessageDecoder
    /// A u32 big-endian length, then the message.
    public var encodeFrame: ([UInt8]) -> [UInt8]
    /// Sends every frame back as it came; frames of up to 1 MiB, a longer one closes the connection.
    public var framedEchoServer: (_ host: String, _ port: UInt16) throws -> Void
    /// Sends name, size and content of the file at `path`. Throws if it cannot be read whole.
    public var sendFile: (Int32, _ path: String) throws -> Void
    /// Receives one file into `folder` and returns its name. Throws `TransferError`.
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
            .function("line-decoder") { a in try decode(with: makeLineDecoder(try a.int(0)), chunks: a.list(1)) },
            .function("frame-decoder") { a in try decode(with: makeFrameDecoder(try a.int(0)), chunks: a.list(1)) },
            .function("encode-frame") { a in .bytes(encodeFrame(try a.bytes(0))) },
            .server("framed-echo-server", framedEchoServer),
            .function("send-file") { a in
                try sendFile(try a.descriptor(0), try a.string(1))
                return .none
            },
            .function("receive-file") { a in .string(try receiveFile(try a.descriptor(0), try a.string(1))) },
        ]
    }
}

/// Bytes in, messages out. It keeps what does not make a message yet.
public protocol MessageDecoder {
    /// - Parameter bytes: the next bytes of the stream, cut anywhere.
    /// - Returns: the messages that are complete now, in order, without their marks. An incomplete one is no error.
    /// - Throws: `FramingError`; the stream cannot be trusted after that.
    mutating func feed(_ bytes: [UInt8]) throws -> [[UInt8]]
}

public enum FramingError: Error, Equatable, Sendable {
    /// A message over the limit.
    case tooLong(limit: Int)
}

public enum TransferError: Error, Equatable, Sendable {
    /// A name that is empty, `.`, `..`, has a `/` or a zero byte, or is not UTF-8.
    case badName
    /// The stream ended before the file did.
    case cutShort(received: Int)
}

/// Feeds the chunks one by one; the answer is, for each chunk, the messages that it completed. An error ends the list:
/// its last element is then the error's name.
private func decode(with decoder: any MessageDecoder, chunks: [Value]) throws -> Value {
    var decoder = decoder
    var answers: [Value] = []
    for index in chunks.indices {
        do {
            answers.append(.list(try decoder.feed(try chunks.bytes(index)).map(Value.bytes)))
        } catch let error as ArgumentError {
            throw error
        } catch {
            answers.append(.string("\(error)"))
            break
        }
    }
    return .list(answers)
}
