import Course
import Dispatch
import Sockets

func monotonic() -> Int { Int(DispatchTime.now().uptimeNanoseconds / 1_000_000) }

/// One client's socket, which does not block, and the stop. All waiting is done here.
final class Wire {
    let fd: Int32
    private let stop: Int32
    /// When all must be over; nil until this thread has seen the stop.
    private(set) var cutOff: Int?
    private var buffer = [UInt8](repeating: 0, count: 32_768)

    enum Wake { case ready, stopped, timeout, cut }
    enum Received { case bytes([UInt8]), nothing, end }

    init(fd: Int32, stop: Int32) {
        self.fd = fd
        self.stop = stop
    }

    func wait(for events: Int32, until limit: Int? = nil) -> Wake {
        while true {
            let time = monotonic()
            if let cutOff, time >= cutOff { return .cut }
            let first = min(limit ?? Int.max, cutOff ?? Int.max)
            var entries = [
                pollfd(fd: fd, events: Int16(events), revents: 0),
                pollfd(fd: cutOff == nil ? stop : -1, events: Int16(POLLIN), revents: 0),
            ]
            if poll(&entries, 2, first == Int.max ? -1 : Int32(clamping: max(0, first - time))) < 0 {
                if errno == EINTR { continue }
                return .cut
            }
            if entries[1].revents != 0 { cutOff = monotonic() + Lesson16.stopPatience }
            if entries[0].revents != 0 { return .ready }
            if entries[1].revents != 0 { return .stopped }
            if let limit, monotonic() >= limit { return .timeout }
        }
    }

    /// Whether the stop has come: looks, and does not wait.
    func isStopping() -> Bool {
        if cutOff == nil { _ = wait(for: 0, until: monotonic()) }
        return cutOff != nil
    }

    /// Between two requests: true if one begins, or the client has ended; false if it is time to go.
    func hasNextRequest() -> Bool { wait(for: POLLIN, until: cutOff == nil ? nil : monotonic()) == .ready }

    func receiveNow() -> Received {
        while true {
            let count = buffer.withUnsafeMutableBytes { room -> Int in
                var piece = iovec(iov_base: room.baseAddress, iov_len: room.count)
                return readv(fd, &piece, 1)
            }
            if count > 0 { return .bytes(Array(buffer[..<count])) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { return .nothing }
            return .end
        }
    }

    /// Nil at the end, after an error, and when the time is over.
    func receive() -> [UInt8]? {
        while true {
            switch receiveNow() {
            case .bytes(let bytes): return bytes
            case .end: return nil
            case .nothing: if wait(for: POLLIN) == .cut { return nil }
            }
        }
    }

    func send(_ head: [UInt8], _ body: [UInt8] = []) -> Bool {
        var done = 0
        let all = head.count + body.count
        while done < all {
            let count = head.withUnsafeBytes { first in
                body.withUnsafeBytes { second in
                    var pieces: [iovec] = []
                    if done < first.count { pieces.append(piece(first, from: done)) }
                    if !second.isEmpty { pieces.append(piece(second, from: max(0, done - first.count))) }
                    return writev(fd, pieces, Int32(pieces.count))
                }
            }
            if count >= 0 {
                done += count
            } else if errno == EAGAIN {
                if wait(for: POLLOUT) == .cut { return false }
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    private func piece(_ bytes: UnsafeRawBufferPointer, from start: Int) -> iovec {
        iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + start), iov_len: bytes.count - start)
    }

    /// All is said: waits for the client's end, for five seconds at most.
    func finish() {
        shutdown(fd, SHUT_WR)
        let limit = monotonic() + 5000
        while monotonic() < limit {
            switch receiveNow() {
            case .bytes: continue
            case .end: return
            case .nothing:
                let wake = wait(for: POLLIN, until: limit)
                if wake == .cut || wake == .timeout { return }
            }
        }
    }
}

private final class Job {
    let wire: Wire
    let group: DispatchGroup
    let work: (Wire) -> Void
    init(_ wire: Wire, _ group: DispatchGroup, _ work: @escaping (Wire) -> Void) {
        (self.wire, self.group, self.work) = (wire, group, work)
    }
}

/// A thread for each client, until the stop; returns when the last of them is done.
func serveEach(host: String, port: UInt16, stop: Int32, _ work: @escaping (Wire) -> Void) throws {
    signal(SIGPIPE, SIG_IGN)
    let group = DispatchGroup()
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        defer { close(listener) }
        var yes: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
        try check("fcntl", fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 4096))
        var stops = false
        while !stops {
            var entries = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&entries, 2, -1) < 0 {
                if errno == EINTR { continue }
                throw SocketError("poll", errno)
            }
            stops = entries[1].revents != 0
            var turns = 0
            accepting: while turns < 8192 {
                turns += 1
                let client = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
                if client >= 0 {
                    start(Job(Wire(fd: client, stop: stop), group, work))
                    continue
                }
                switch errno {
                case EAGAIN: break accepting
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                case EMFILE, ENFILE, ENOMEM, ENOBUFS:
                    poll(nil, 0, 25)
                    break accepting
                default: throw SocketError("accept4", errno)
                }
            }
        }
    }
    group.wait()
}

private func start(_ job: Job) {
    job.group.enter()
    let box = Unmanaged.passRetained(job)
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { raw in
            guard let raw else { return nil }
            let job = Unmanaged<Job>.fromOpaque(raw).takeRetainedValue()
            job.work(job.wire)
            close(job.wire.fd)
            job.group.leave()
            return nil
        }, box.toOpaque())
    if code == 0 {
        pthread_detach(thread)
    } else {
        box.release()
        close(job.wire.fd)
        job.group.leave()
    }
}
