import Sockets

/// Lesson 11: Errors. Which ones go away, which do not, and what to do meanwhile.
public struct Lesson11: LessonContract {
    public static let slug = "11-errors"

    /// What to do about an errno. It depends on the moment, too: before there is a connection, ECONNRESET is a server that
    /// is not ready yet; on a connection that is open, it is the end of it.
    public var classify: (_ code: Int32, _ isConnected: Bool) throws -> ErrorAdvice
    /// A connected, blocking descriptor. The name is looked up, and its addresses are tried one after another, in each
    /// attempt; between two attempts there is a wait, made by `sleep`. Throws the `SocketError` of the last attempt, or
    /// `ResolveError`. An error that another attempt cannot mend is thrown at once.
    public var connectWithRetry:
        (_ host: String, _ port: UInt16, _ policy: RetryPolicy, _ sleep: (Milliseconds) -> Void) throws -> Int32
    /// All of it, within one time limit; the socket may be blocking or not, and is left as it was. Throws `SendError`.
    public var sendWithRetry: (_ socket: Int32, _ bytes: [UInt8], _ timeout: Milliseconds) throws -> Void
    /// Up to `count` bytes: what has come when there are so many, when the stream ends or breaks, or when the one time limit
    /// for all of them is over. The socket may be blocking or not, and is left as it was.
    public var receiveWithTimeout: (_ socket: Int32, _ count: Int, _ timeout: Milliseconds) throws -> ReceivedInTime

    public init(
        classify: @escaping (_ code: Int32, _ isConnected: Bool) throws -> ErrorAdvice,
        connectWithRetry:
            @escaping (
                _ host: String, _ port: UInt16, _ policy: RetryPolicy, _ sleep: (Milliseconds) -> Void
            ) throws -> Int32,
        sendWithRetry: @escaping (_ socket: Int32, _ bytes: [UInt8], _ timeout: Milliseconds) throws -> Void,
        receiveWithTimeout:
            @escaping (_ socket: Int32, _ count: Int, _ timeout: Milliseconds) throws -> ReceivedInTime
    ) {
        self.classify = classify
        self.connectWithRetry = connectWithRetry
        self.sendWithRetry = sendWithRetry
        self.receiveWithTimeout = receiveWithTimeout
    }

    public var entries: [Entry] {
        [
            .function("classify") { a in
                .string(try classify(Int32(truncatingIfNeeded: try a.int(0)), try a.bool(1)).rawValue)
            },
            // host, port, then the policy's five numbers. The answer: does the descriptor block, and who is at the other
            // end of it? Then it is closed.
            .function("connect-with-retry") { a in
                let descriptor = try connect(a)
                defer { close(descriptor) }
                let blocks = fcntl(descriptor, F_GETFL) & O_NONBLOCK == 0
                guard let peer = try? SocketAddress.peer(of: descriptor) else { return .list([.bool(blocks), .none]) }
                return .list([.bool(blocks), .string("\(peer)")])
            },
            .function("send-with-retry") { a in
                try sendWithRetry(try a.descriptor(0), try a.bytes(1), try a.int(2))
                return .none
            },
            .function("receive-with-timeout") { a in
                report(try receiveWithTimeout(try a.descriptor(0), try a.int(1), try a.int(2)))
            },
            // For demos, all three together: as connect-with-retry, then what is sent, how many bytes are wanted back, and
            // the time limit of each of the two.
            .function("exchange") { a in
                let descriptor = try connect(a)
                defer { close(descriptor) }
                try sendWithRetry(descriptor, try a.bytes(7), try a.int(9))
                return report(try receiveWithTimeout(descriptor, try a.int(8), try a.int(9)))
            },
        ]
    }

    /// - Parameter arguments: host, port, and the policy's five numbers.
    private func connect(_ arguments: [Value]) throws -> Int32 {
        let policy = RetryPolicy(
            attempts: try arguments.int(2), firstWait: try arguments.int(3), longestWait: try arguments.int(4),
            connectTimeout: try arguments.int(5), timeout: try arguments.int(6))
        return try connectWithRetry(try arguments.string(0), UInt16(try arguments.int(1)), policy, sleep)
    }

    private func report(_ received: ReceivedInTime) -> Value {
        .list([.bytes(received.bytes), .string("\(received.ending)")])
    }

    /// Waits with nanosleep(2), all of the time: a signal does not make it shorter.
    private func sleep(_ wait: Milliseconds) {
        var wanted = timespec(tv_sec: wait / 1000, tv_nsec: wait % 1000 * 1_000_000)
        var left = timespec()
        while nanosleep(&wanted, &left) == -1 && errno == EINTR { wanted = left }
    }
}

/// What to do about an error.
public enum ErrorAdvice: String, Equatable, Sendable, CaseIterable {
    /// Nothing has happened: make the same call again, at once.
    case callAgain
    /// Not now, or not yet: wait with `poll` until the socket is ready.
    case waitUntilReady
    /// The network, the server or this machine is not able to at the moment. Try again after a wait, and not for ever.
    case tryLater
    /// This connection is over. What was sent may not have arrived; a new one may work.
    case peerIsGone
    /// The address is taken, not ours, not permitted, or of a family that is not there: asking again changes nothing.
    case wrongAddress
    /// The program has a fault: to be mended, not retried.
    case wrongProgram
    /// Not known here: reported as it is, and not retried.
    case unknown
}

/// How long `connectWithRetry` goes on.
public struct RetryPolicy: Equatable, Sendable {
    /// How often it tries at most; 1 or more.
    public var attempts: Int
    /// The wait after the first failed attempt is at random from half of this to all of it; after each further attempt,
    /// twice as long.
    public var firstWait: Milliseconds
    /// No wait is longer.
    public var longestWait: Milliseconds
    /// The longest wait for one address to answer.
    public var connectTimeout: Milliseconds
    /// For everything together: attempts and waits.
    public var timeout: Milliseconds

    public init(
        attempts: Int = 5, firstWait: Milliseconds = 200, longestWait: Milliseconds = 5000,
        connectTimeout: Milliseconds = 3000, timeout: Milliseconds = 20_000
    ) {
        self.attempts = attempts
        self.firstWait = firstWait
        self.longestWait = longestWait
        self.connectTimeout = connectTimeout
        self.timeout = timeout
    }
}

/// Why `sendWithRetry` stopped before the end. `sent`: how many bytes the kernel has taken. How many of those the peer got
/// nobody here can know.
public enum SendError: Error, Equatable, Sendable {
    /// The time was over, and the peer had not made room.
    case timedOut(sent: Int)
    /// `code` is the errno: `EPIPE`, `ECONNRESET`…
    case failed(sent: Int, code: Int32)
}

/// What `receiveWithTimeout` got, and why it got no more. The bytes are never lost, whichever way it ended.
public struct ReceivedInTime: Equatable, Sendable {
    public enum Ending: Equatable, Sendable {
        /// As many as were wanted.
        case complete
        /// The peer has ended its side.
        case endOfStream
        /// The time is over; the connection is still there.
        case timedOut
        /// The connection broke: the errno.
        case broken(code: Int32)
    }

    public var bytes: [UInt8]
    public var ending: Ending

    public init(_ bytes: [UInt8], _ ending: Ending) {
        self.bytes = bytes
        self.ending = ending
    }
}
