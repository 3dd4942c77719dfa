import Course
import Foundation
import Sockets

// MARK: one end of a connection

/// A descriptor and what one can do with it. Not its owner: who closes it is said where that happens.
struct Connection: Sendable {
    let descriptor: Int32

    /// At most `limit` bytes; none at the end of the stream.
    func receive(_ limit: Int) throws -> [UInt8] {
        let bytes = try [UInt8](unsafeUninitializedCapacity: limit) { room, filled in
            filled = try retried("recvmsg") {
                var part = iovec(iov_base: room.baseAddress, iov_len: limit)
                return withUnsafeMutablePointer(to: &part) { part in
                    var header = msghdr()
                    header.msg_iov = part
                    header.msg_iovlen = 1
                    return recvmsg(descriptor, &header, 0)
                }
            }
        }
        return bytes
    }

    func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            done += try retried("sendmsg") {
                bytes.withUnsafeBytes { all in
                    let rest = UnsafeMutableRawPointer(mutating: all.baseAddress! + done)
                    var part = iovec(iov_base: rest, iov_len: all.count - done)
                    return withUnsafeMutablePointer(to: &part) { part in
                        var header = msghdr()
                        header.msg_iov = part
                        header.msg_iovlen = 1
                        return sendmsg(descriptor, &header, MSG_NOSIGNAL)
                    }
                }
            }
        }
    }

    /// Everything up to the end of the stream, piece by piece.
    func receiveAll(_ piece: ([UInt8]) throws -> Void) throws {
        while case let bytes = try receive(16_384), !bytes.isEmpty { try piece(bytes) }
    }
}

/// The call is made again for as long as signals interrupt it.
private func retried(_ name: String, _ call: () -> Int) throws -> Int {
    while true {
        let result = call()
        if result >= 0 { return result }
        if errno != EINTR { throw SocketError(name, errno) }
    }
}

// MARK: the functions

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws { try Connection(descriptor: socket).send(bytes) }

func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
        let more = try Connection(descriptor: socket).receive(count - bytes.count)
        if more.isEmpty { throw StreamError.ended(received: bytes.count) }
        bytes += more
    }
    return bytes
}

func closeGracefully(_ socket: Int32) throws {
    let outcome = Result {
        try check("shutdown", shutdown(socket, SHUT_WR))
        try Connection(descriptor: socket).receiveAll { _ in }
    }
    close(socket)
    try outcome.get()
}

/// The caller's thread sends, another one receives.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    defer { close(descriptor) }
    if address.withSockaddr({ connect(descriptor, $0, $1) }) < 0 {
        if errno != EINTR { throw SocketError("connect", errno) }
        var over = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = try retried("poll") { Int(poll(&over, 1, -1)) }
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size))
        if code != 0 { throw SocketError("connect", code) }
    }
    let collector = Collector(Connection(descriptor: descriptor))
    Thread.detachNewThread { collector.run() }
    let sent = Result {
        try Connection(descriptor: descriptor).send(message)
        try check("shutdown", shutdown(descriptor, SHUT_WR))
    }
    // Before we return, and the descriptor is closed, nobody uses it any more. What recv has to say comes first.
    let answer = try collector.wait()
    try sent.get()
    return answer
}

private final class Collector: @unchecked Sendable {
    private let connection: Connection
    private let condition = NSCondition()
    private var outcome: Result<[UInt8], any Error>?

    init(_ connection: Connection) { self.connection = connection }

    func run() {
        var bytes: [UInt8] = []
        let result = Result { try connection.receiveAll { bytes += $0 } }
        // Nobody wants the rest of the question, either: the sender is not to wait for room.
        if case .failure = result { shutdown(connection.descriptor, SHUT_RDWR) }
        condition.withLock {
            outcome = result.map { bytes }
            condition.signal()
        }
    }

    func wait() throws -> [UInt8] {
        try condition.withLock {
            while true {
                if let outcome { return try outcome.get() }
                condition.wait()
            }
        }
    }
}

// MARK: the servers

/// What the three have in common: the listener, and what happens to its clients is a matter of the subclass.
private class Server {
    let listener: Int32

    init(_ host: String, _ port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
        var on: Int32 = 1
        let prepared = Result {
            let size = socklen_t(MemoryLayout<Int32>.size)
            try check("setsockopt", setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, size))
            try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
            try check("listen", listen(descriptor, SOMAXCONN))
        }
        if case .failure(let error) = prepared {
            close(descriptor)
            throw error
        }
        listener = descriptor
    }

    deinit { close(listener) }

    func run() throws -> Never {
        while true {
            let descriptor = accept4(listener, nil, nil, SOCK_CLOEXEC)
            if descriptor >= 0 {
                welcome(descriptor)
                continue
            }
            switch errno {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(50_000)
            case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT: throw SocketError("accept4", errno)
            default: break
            }
        }
    }

    /// Serves it here and now, and closes it.
    func welcome(_ descriptor: Int32) { Server.serve(descriptor) }

    static func serve(_ descriptor: Int32) {
        let connection = Connection(descriptor: descriptor)
        try? connection.receiveAll { bytes in
            try connection.send(bytes.map { $0 &- 97 < 26 ? $0 & 0xDF : $0 })
        }
        close(descriptor)
    }
}

private final class ThreadServer: Server {
    override func welcome(_ descriptor: Int32) {
        let thread = Thread { Server.serve(descriptor) }
        thread.stackSize = 1 << 19
        thread.start()
    }
}

private final class ForkServer: Server {
    override func run() throws -> Never {
        signal(SIGCHLD, SIG_IGN)
        try super.run()
    }

    override func welcome(_ descriptor: Int32) {
        if forkProcess() == 0 {
            close(listener)
            Server.serve(descriptor)
            _exit(0)
        }
        close(descriptor)
    }
}

func uppercaseServer(host: String, port: UInt16) throws { try Server(host, port).run() }
func threadedServer(host: String, port: UInt16) throws { try ThreadServer(host, port).run() }
func forkingServer(host: String, port: UInt16) throws { try ForkServer(host, port).run() }
