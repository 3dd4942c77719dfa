import Sockets

/// Lesson 13: throughput. Fewer calls, fewer connections, fewer copies.
public struct Lesson13: LessonContract {
    public static let slug = "13-throughput"

    /// Buffers of `capacity` bytes for both directions of a connected socket, which stays the caller's: it is not closed.
    public var makeBufferedSocket: (_ socket: Int32, _ capacity: Int) -> any BufferedStream
    /// A pool of at most `limit` connections to one server. Opens none yet. One that has not been used for `idleLimit`
    /// milliseconds is not handed out again. Throws if the host is no numeric address.
    public var makeConnectionPool:
        (_ host: String, _ port: UInt16, _ limit: Int, _ idleLimit: Milliseconds) throws -> any ConnectionLender
    /// Sends all bytes of all pieces in order, many pieces in a call: writev(2) or sendmsg(2). Throws `SocketError`. Leaves
    /// the socket open.
    public var writeVectors: (Int32, _ pieces: [[UInt8]]) throws -> Void
    /// Sends `header`, and behind it exactly `count` bytes of the file at `path`, from `offset` on: sendfile(2). Throws
    /// before it has sent anything if there is no such part of a regular file, `TransferError.cutShort` if the file becomes
    /// too short meanwhile, `SocketError` if the connection breaks. Leaves the socket open.
    public var sendFile: (Int32, _ header: [UInt8], _ path: String, _ offset: Int, _ count: Int) throws -> Void

    public init(
        makeBufferedSocket: @escaping (_ socket: Int32, _ capacity: Int) -> any BufferedStream,
        makeConnectionPool:
            @escaping (
                _ host: String, _ port: UInt16, _ limit: Int, _ idleLimit: Milliseconds
            ) throws -> any ConnectionLender,
        writeVectors: @escaping (Int32, _ pieces: [[UInt8]]) throws -> Void,
        sendFile: @escaping (Int32, _ header: [UInt8], _ path: String, _ offset: Int, _ count: Int) throws -> Void
    ) {
        self.makeBufferedSocket = makeBufferedSocket
        self.makeConnectionPool = makeConnectionPool
        self.writeVectors = writeVectors
        self.sendFile = sendFile
    }

    public var entries: [Entry] {
        [
            // A socket and a capacity; the answer is a number, which says which one is meant later.
            .function("buffered-make") { a in
                .int(madeStreams.keep(makeBufferedSocket(try a.descriptor(0), try a.int(1))))
            },
            // Which one, and what to do with it, one thing after another: see `BufferedStream.perform`.
            .function("buffered-do") { a in
                let stream = try madeStreams[try a.int(0)]
                return .list(try a.list(1).map { try stream.perform($0) })
            },
            // Host, port, limit, idle limit; the answer is a number.
            .function("pool-make") { a in
                .int(
                    madePools.keep(
                        try makeConnectionPool(
                            try a.string(0), UInt16(try a.int(1)), try a.int(2), try a.int(3))))
            },
            // Which one, and the jobs that use it at the same time, a thread each: see `PoolJob`.
            .function("pool-do") { a in
                PoolJob.perform(try a.list(1).map(PoolJob.init), with: try madePools[try a.int(0)])
            },
            .function("pool-close") { a in
                try madePools[try a.int(0)].closeAll()
                return .none
            },
            // The socket is closed behind it, which is the caller's business, so that the peer sees the end of the stream.
            .function("write-vectors") { a in
                let socket = try a.descriptor(0)
                defer { close(socket) }
                let pieces = try a.list(1)
                try writeVectors(socket, try pieces.indices.map { try pieces.bytes($0) })
                return .none
            },
            .function("send-file") { a in
                let socket = try a.descriptor(0)
                defer { close(socket) }
                try sendFile(socket, try a.bytes(1), try a.string(2), try a.int(3), try a.int(4))
                return .none
            },
        ]
    }
}

/// A socket with a buffer for each direction: many small reads and writes, few calls.
public protocol BufferedStream: AnyObject {
    /// The next line without its `\n`; all else is kept, also a `\r`. What comes before the end of the stream without a `\n`
    /// is a line, too, if it is not empty. Nil at the end of the stream.
    ///
    /// - Throws: `FramingError.tooLong(limit: capacity)` if `capacity` + 1 bytes have come without a `\n`; `SocketError`,
    ///   after which no byte is lost: the next read begins where this one began.
    func readLine() throws -> [UInt8]?

    /// - Throws: `StreamError.ended(received:)` if the stream ends before; `SocketError` as above.
    func readExactly(_ count: Int) throws -> [UInt8]

    /// Takes all the bytes, and sends what has gathered once that is `capacity` bytes or more.
    ///
    /// - Throws: `SocketError` if that fails. What was not sent is still in the buffer, these bytes among it.
    func write(_ bytes: [UInt8]) throws

    /// Sends all that has gathered.
    ///
    /// - Throws: `SocketError`. What was not sent stays, and the next flush goes on with it.
    func flush() throws
}

/// Connections to one server that are lent, come back, and are lent again. Many threads use it at once.
public protocol ConnectionLender: AnyObject {
    /// Lends a connection to `body` and takes it back. If `body` throws, the connection is closed, since nobody knows what
    /// is still under way on it; what `body` threw is thrown on.
    ///
    /// - Parameter timeout: how long to wait for a free one while `limit` are lent. What connect takes is not part of it.
    /// - Throws: `PoolError.timedOut`, `PoolError.closed`, `SocketError` of connect, or what `body` throws.
    func withConnection<Result>(timeout: Milliseconds, _ body: (Int32) throws -> Result) throws -> Result

    /// Closes those that are not lent, and each of the others when it comes back. Whoever waits is told (`closed`), and so is
    /// whoever asks from now on.
    func closeAll()
}

public enum PoolError: Error, Equatable, Sendable {
    /// None became free in time.
    case timedOut
    /// `closeAll` was called.
    case closed
}
