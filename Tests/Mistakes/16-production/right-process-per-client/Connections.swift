import Course
import Sockets

func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec / 1_000_000)
}

/// A process for each client: the parent only accepts, counts, and at the end waits.
struct Nursery {
    private let stop: Int32
    private let listener: Int32
    /// A pipe on which nobody ever writes. Its end at the children is readable when the parent is gone.
    private var cord: [Int32] = [-1, -1]
    private var children: Set<pid_t> = []

    init(host: String, port: UInt16, stop: Int32) throws {
        self.stop = stop
        let address = try SocketAddress(host: host, port: port)
        listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            var yes: Int32 = 1
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, 1024))
            try check("fcntl", fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK))
            try check("pipe2", pipe2(&cord, O_CLOEXEC))
        } catch {
            close(listener)
            throw error
        }
    }

    mutating func run(_ serve: (Visitor) -> Void) throws {
        do {
            defer { close(listener) }
            while true {
                var waiting = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
                // Those who have ended are seen to now and then.
                if poll(&waiting, 2, children.isEmpty ? -1 : 500) < 0 {
                    if errno == EINTR { continue }
                    throw SocketError("poll", errno)
                }
                bury()
                if waiting[1].revents != 0 { break }
                if waiting[0].revents != 0 { try acceptAll(serve) }
            }
            try acceptAll(serve)
        }
        let deadline = milliseconds() + Lesson16.stopPatience
        while true {
            bury()
            if children.isEmpty { break }
            if milliseconds() >= deadline {
                for child in children { kill(child, SIGKILL) }
            }
            poll(nil, 0, 20)
        }
        for end in cord { close(end) }
    }

    private mutating func bury() {
        for child in children {
            let result = waitpid(child, nil, WNOHANG)
            if result == child || (result < 0 && errno == ECHILD) { children.remove(child) }
        }
    }

    /// Until nobody stands in the queue.
    private mutating func acceptAll(_ serve: (Visitor) -> Void) throws {
        for _ in 0..<1024 {
            let client = accept(listener, nil, nil)
            if client < 0 {
                switch errno {
                case EAGAIN: return
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                    poll(nil, 0, 50)
                    return
                default: throw SocketError("accept", errno)
                }
            }
            let child = forkProcess()
            if child == 0 {
                close(listener)
                close(cord[1])
                let visitor = Visitor(socket: client, stop: stop, cord: cord[0])
                serve(visitor)
                close(client)
                _exit(0)
            }
            if child > 0 { children.insert(child) }
            // The child's; or, if there is no room for one, nobody's.
            close(client)
        }
    }
}

/// The one client of this process.
struct Visitor {
    struct Ready {
        var client = false
        var stop = false
    }

    let socket: Int32
    let stop: Int32
    let cord: Int32

    /// - Parameter until: on the monotonic clock; nil: for ever.
    func wait(orStop: Bool, until: Int? = nil) -> Ready {
        while true {
            var waiting = [socket, orStop ? stop : -1, cord].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            let left = until.map { Int32(clamping: max(0, $0 - milliseconds())) } ?? -1
            let count = poll(&waiting, 3, left)
            if count < 0 && errno == EINTR { continue }
            // The parent has been killed: this process ends with it, as a thread would.
            if count < 0 || waiting[2].revents != 0 { _exit(1) }
            return Ready(client: waiting[0].revents != 0, stop: waiting[1].revents != 0)
        }
    }

    var isStopping: Bool {
        var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        var count: Int32
        repeat { count = poll(&entry, 1, 0) } while count < 0 && errno == EINTR
        return count > 0
    }

    /// - Returns: nil at the end, and when the connection is broken.
    func receive() -> [UInt8]? {
        let bytes = [UInt8](unsafeUninitializedCapacity: 32_768) { room, count in
            var got: Int
            repeat { got = recv(socket, room.baseAddress, room.count, 0) } while got < 0 && errno == EINTR
            count = max(0, got)
        }
        return bytes.isEmpty ? nil : bytes
    }

    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno != EINTR { return false }
            rest = rest.dropFirst(max(0, count))
        }
        return true
    }

    func partGently() {
        shutdown(socket, SHUT_WR)
        let end = milliseconds() + 2000
        while wait(orStop: false, until: end).client, receive() != nil, milliseconds() < end {}
    }
}
