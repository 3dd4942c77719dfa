import Course
import Sockets

func epollServer(host: String, port: UInt16) throws {
    let reactor = try Reactor(host: host, port: port)
    defer { reactor.shutDown() }
    while true { try reactor.turn(timeout: -1) }
}

/// A connection and what it is still owed.
final class Peer {
    let fd: Int32
    private var out: [UInt8] = []
    private var start = 0
    var ended = false
    var dead = false
    var mask: UInt32 = 0

    init(_ fd: Int32) { self.fd = fd }

    var owed: Int { out.count - start }
    var takesInput: Bool { !ended && !dead && owed < 100_000 }
    var hasOutput: Bool { !dead && owed > 0 }
    var isDone: Bool { dead || (ended && owed == 0) }

    enum Outcome { case moved, again, nothing }

    func receive(into scratch: UnsafeMutableRawBufferPointer) -> Outcome {
        let count = recv(fd, scratch.baseAddress, scratch.count, MSG_DONTWAIT)
        if count < 0 {
            if errno == EINTR { return .again }
            if errno != EAGAIN { dead = true }
            return .nothing
        }
        if count == 0 {
            ended = true
            return .nothing
        }
        out.reserveCapacity(out.count + count)
        for byte in scratch[..<count] {
            switch byte {
            case 0x61...0x7A: out.append(byte ^ 0x20)
            default: out.append(byte)
            }
        }
        return .moved
    }

    func transmit() -> Outcome {
        let count = out.withUnsafeMutableBytes { bytes in
            var piece = iovec(iov_base: bytes.baseAddress! + start, iov_len: bytes.count - start)
            return withUnsafeMutablePointer(to: &piece) {
                var message = msghdr()
                message.msg_iov = $0
                message.msg_iovlen = 1
                return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
        }
        if count < 0 {
            if errno == EINTR { return .again }
            if errno != EAGAIN { dead = true }
            return .nothing
        }
        start += count
        if start == out.count {
            out = out.capacity > 65_536 ? [] : out
            out.removeAll(keepingCapacity: true)
            start = 0
        } else if start > 65_536 {
            out.removeFirst(start)
            start = 0
        }
        return .moved
    }
}

/// The level-triggered loop. Others override what they want to know.
class Reactor {
    let queue: Int32
    let listener: Int32
    private(set) var peers: [Int32: Peer] = [:]
    private var events = [epoll_event](repeating: epoll_event(), count: 1024)
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 32_768, alignment: 64)
    private var isListenerArmed = true
    private(set) var isOpen = true

    init(host: String, port: UInt16) throws {
        let fds = try openListenerAndQueue(host: host, port: port, listenerMask: EPOLLIN.rawValue)
        (listener, queue) = (fds.listener, fds.queue)
    }

    deinit { scratch.deallocate() }

    func joined(_ peer: Peer) {}
    func heard(_ peer: Peer) {}
    /// An event of a descriptor that is no client's.
    func foreign(_ fd: Int32) throws {}

    func control(_ operation: Int32, _ fd: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: fd))
        try check("epoll_ctl", epoll_ctl(queue, operation, fd, &event))
    }

    /// - Returns: false if there may be events left that did not fit.
    @discardableResult
    func turn(timeout: Int32) throws -> Bool {
        var patience = timeout
        if isOpen && !isListenerArmed { patience = timeout < 0 ? 100 : min(100, timeout) }
        let count = Int(epoll_wait(queue, &events, Int32(events.count), patience))
        if count < 0 {
            guard errno == EINTR else { throw SocketError("epoll_wait", errno) }
            return false
        }
        var knocked = !isListenerArmed
        for index in 0..<count {
            let fd = events[index].data.fd
            if fd == listener {
                knocked = true
            } else if let peer = peers[fd] {
                try serve(peer)
            } else {
                try foreign(fd)
            }
        }
        if knocked && isOpen { try admit() }
        return count < events.count
    }

    private func serve(_ peer: Peer) throws {
        if peer.takesInput, peer.receive(into: scratch) == .moved { heard(peer) }
        if peer.hasOutput { _ = peer.transmit() }
        try refresh(peer)
    }

    func refresh(_ peer: Peer) throws {
        if peer.isDone { return drop(peer) }
        let mask = (peer.takesInput ? EPOLLIN.rawValue : 0) | (peer.hasOutput ? EPOLLOUT.rawValue : 0)
        guard mask != peer.mask else { return }
        try control(EPOLL_CTL_MOD, peer.fd, mask)
        peer.mask = mask
    }

    func drop(_ peer: Peer) {
        guard peers[peer.fd] === peer else { return }
        peers[peer.fd] = nil
        close(peer.fd)
    }

    private func admit() throws {
        while true {
            switch try nextConnection(of: listener) {
            case .some(let fd) where fd >= 0:
                let peer = Peer(fd)
                peer.mask = EPOLLIN.rawValue
                do { try control(EPOLL_CTL_ADD, fd, peer.mask) } catch {
                    close(fd)
                    continue
                }
                peers[fd] = peer
                joined(peer)
            case .some: return try armListener(false)
            case nil: return try armListener(true)
            }
        }
    }

    private func armListener(_ on: Bool) throws {
        guard on != isListenerArmed else { return }
        try control(EPOLL_CTL_MOD, listener, on ? EPOLLIN.rawValue : 0)
        isListenerArmed = on
    }

    /// Nobody comes any more.
    func closeListener() {
        guard isOpen else { return }
        isOpen = false
        close(listener)
    }

    func shutDown() {
        for peer in Array(peers.values) { drop(peer) }
        closeListener()
        close(queue)
    }
}

func openListenerAndQueue(host: String, port: UInt16, listenerMask: UInt32) throws -> (listener: Int32, queue: Int32) {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    var queue: Int32 = -1
    do {
        var yes: Int32 = 1
        try check("setsockopt(SO_REUSEADDR)", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        queue = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        var event = epoll_event(events: listenerMask, data: epoll_data_t(fd: listener))
        try check("epoll_ctl", epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event))
        return (listener, queue)
    } catch {
        if queue >= 0 { close(queue) }
        close(listener)
        throw error
    }
}

/// - Returns: the next client's descriptor, non-blocking; -1 if there is none left for it; nil if nobody waits.
func nextConnection(of listener: Int32) throws -> Int32? {
    while true {
        let fd = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd >= 0 { return fd }
        switch errno {
        case EAGAIN: return nil
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return -1
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
            ENETUNREACH:
            continue
        default: throw SocketError("accept4", errno)
        }
    }
}
