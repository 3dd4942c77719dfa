import Course
import Sockets

// The way of libuv: a loop with watchers and timers, and closures that it calls.

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    var flags = fcntl(descriptor, F_GETFL)
    if on { flags |= O_NONBLOCK } else { flags &= ~O_NONBLOCK }
    _ = fcntl(descriptor, F_SETFL, flags)
}

private final class Loop {
    typealias Callback = () throws -> Void
    private var onReadable: [Int32: Callback] = [:]
    private var onWritable: [Int32: Callback] = [:]
    private var timer: (due: Int, fire: Callback)?

    func whenReadable(_ descriptor: Int32, _ callback: Callback?) { onReadable[descriptor] = callback }
    func whenWritable(_ descriptor: Int32, _ callback: Callback?) { onWritable[descriptor] = callback }
    func after(milliseconds: Int, _ callback: @escaping Callback) { timer = (Loop.now() + milliseconds, callback) }

    func forget(_ descriptor: Int32) {
        onReadable[descriptor] = nil
        onWritable[descriptor] = nil
    }

    func run() throws {
        while true {
            var readable = fd_set()
            var writable = fd_set()
            fdZero(&readable)
            fdZero(&writable)
            onReadable.keys.forEach { fdSet($0, &readable) }
            onWritable.keys.forEach { fdSet($0, &writable) }
            let width = 1 + max(onReadable.keys.max() ?? -1, onWritable.keys.max() ?? -1)

            var count: Int32
            if let due = timer?.due {
                let left = max(0, due - Loop.now())
                var time = timeval(tv_sec: left / 1000, tv_usec: .init(left % 1000 * 1000))
                count = select(width, &readable, &writable, nil, &time)
            } else {
                count = select(width, &readable, &writable, nil, nil)
            }
            if count < 0 {
                guard errno == EINTR else { throw SocketError("select", errno) }
                continue
            }
            if let (due, fire) = timer, Loop.now() >= due {
                timer = nil
                try fire()
            }
            // A callback may take away the watcher of another descriptor, or put up a new one for the same number. So
            // each is looked up when its turn comes; a new one that finds nothing gets EAGAIN.
            for descriptor in 0..<width {
                if fdIsSet(descriptor, &readable) != 0, let callback = onReadable[descriptor] { try callback() }
                if fdIsSet(descriptor, &writable) != 0, let callback = onWritable[descriptor] { try callback() }
            }
        }
    }

    private static func now() -> Int {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }
}

func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))

    let loop = Loop()
    var accepting: Loop.Callback = {}
    accepting = {
        while true {
            let connection = accept(listener, nil, nil)
            if connection >= 0 {
                if connection >= Int32(FD_SETSIZE) { close(connection) } else { Stream(connection, loop).start() }
                continue
            }
            let code = errno
            if code == EAGAIN { return loop.whenReadable(listener, accepting) }
            if code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM {
                loop.whenReadable(listener, nil)
                return loop.after(milliseconds: 100, accepting)
            }
            if code == EBADF || code == EINVAL || code == ENOTSOCK || code == EOPNOTSUPP || code == EFAULT {
                throw SocketError("accept", code)
            }
        }
    }
    loop.whenReadable(listener, accepting)
    try loop.run()
}

/// Lives as long as the loop knows one of its callbacks.
private final class Stream {
    private let descriptor: Int32
    private unowned let loop: Loop
    /// `output[done...]` has to go.
    private var output: [UInt8] = []
    private var done = 0
    private var isAtEnd = false
    private var input = [UInt8](repeating: 0, count: 4096)

    private static let high = 65_536
    private static let low = 16_384
    private static let capitals: [UInt8] = (0...255).map { 97...122 ~= $0 ? $0 - 32 : $0 }

    init(_ descriptor: Int32, _ loop: Loop) {
        self.descriptor = descriptor
        self.loop = loop
    }

    func start() {
        setNonblocking(descriptor)
        loop.whenReadable(descriptor, readSome)
    }

    private func readSome() {
        let count = recv(descriptor, &input, input.count, 0)
        if count > 0 {
            for byte in input.prefix(count) { output.append(Stream.capitals[Int(byte)]) }
            writeSome()
        } else if count == 0 {
            isAtEnd = true
            loop.whenReadable(descriptor, nil)
            if done == output.count { finish() }
        } else if errno != EAGAIN && errno != EINTR {
            finish()
        }
    }

    private func writeSome() {
        let count = output.withUnsafeBytes {
            send(descriptor, $0.baseAddress! + done, $0.count - done, MSG_NOSIGNAL)
        }
        if count < 0 && errno != EAGAIN && errno != EINTR { return finish() }
        done += max(0, count)
        if done == output.count {
            output.removeAll(keepingCapacity: true)
            done = 0
            loop.whenWritable(descriptor, nil)
            if isAtEnd { return finish() }
        } else {
            if done > 65_536 {
                output.removeFirst(done)
                done = 0
            }
            loop.whenWritable(descriptor, writeSome)
        }
        let pending = output.count - done
        if isAtEnd || pending > Stream.high {
            loop.whenReadable(descriptor, nil)
        } else if pending <= Stream.low {
            loop.whenReadable(descriptor, readSome)
        }
    }

    private func finish() {
        loop.forget(descriptor)
        close(descriptor)
    }
}
