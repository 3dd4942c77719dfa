import Course
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    var server = try EdgeServer(host: host, port: port)
    defer { server.close() }
    while true { try server.turn() }
}

private struct Peer {
    var outbox: [UInt8] = []
    var hasFinished = false
    static let enough = 65_536
}

private struct EdgeServer {
    private let door: Int32
    private let list: Int32
    private var peers: [Int32: Peer] = [:]
    private var again: [Int32] = []
    private var isDoorOpen = false
    private var events = [epoll_event](repeating: epoll_event(), count: 300)
    private var bytes = [UInt8](repeating: 0, count: 16_384)

    init(host: String, port: UInt16) throws {
        door = try makeListener(host: host, port: port)
        list = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard list >= 0 else {
            let reason = errno
            Sockets.close(door)
            throw SocketError("epoll_create1", reason)
        }
        try add(door, EPOLLIN.rawValue)
    }

    func close() {
        for peer in peers.keys { Sockets.close(peer) }
        Sockets.close(door)
        Sockets.close(list)
    }

    private func add(_ descriptor: Int32, _ what: UInt32) throws {
        var event = epoll_event(events: what | EPOLLET.rawValue, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, descriptor, &event))
    }

    mutating func turn() throws {
        // Those whom we left in the middle get no other edge: they are looked at behind the others.
        let patience: Int32 = !again.isEmpty ? 0 : isDoorOpen ? 100 : -1
        let count = epoll_wait(list, &events, Int32(events.count), patience)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var due: [Int32] = []
        for index in 0..<Int(max(0, count)) {
            let descriptor = events[index].data.fd
            if descriptor == door { isDoorOpen = true } else { due.append(descriptor) }
        }
        due += again
        again = []
        for descriptor in due where peers[descriptor] != nil && !again.contains(descriptor) {
            if serve(descriptor) { again.append(descriptor) }
        }
        if isDoorOpen { try acceptAll() }
    }

    /// Both directions, until the kernel has nothing more and takes nothing more. True if there may be more to do.
    private mutating func serve(_ descriptor: Int32) -> Bool {
        guard var peer = peers[descriptor] else { return false }
        for _ in 0..<16 {
            var isMoving = false
            if !peer.hasFinished && peer.outbox.count < Peer.enough {
                let count = recv(descriptor, &bytes, bytes.count, 0)
                if count > 0 {
                    peer.outbox += bytes[..<count].lazy.map { $0 >= 0x61 && $0 <= 0x7A ? $0 ^ 0x20 : $0 }
                    isMoving = true
                } else if count == 0 {
                    peer.hasFinished = true
                } else if errno == EINTR {
                    isMoving = true
                } else if errno != EAGAIN {
                    remove(descriptor)
                    return false
                }
            }
            if !peer.outbox.isEmpty {
                let count = send(descriptor, peer.outbox, peer.outbox.count, MSG_NOSIGNAL)
                if count >= 0 {
                    peer.outbox.removeFirst(count)
                    isMoving = true
                } else if errno == EINTR {
                    isMoving = true
                } else if errno == EAGAIN {
                    // It takes nothing: EPOLLOUT brings us back here.
                    return false
                } else {
                    remove(descriptor)
                    return false
                }
            }
            if peer.hasFinished && peer.outbox.isEmpty {
                remove(descriptor)
                return false
            }
            if !isMoving {
                peers[descriptor] = peer
                return false
            }
        }
        peers[descriptor] = peer
        return true
    }

    private mutating func remove(_ descriptor: Int32) {
        peers[descriptor] = nil
        Sockets.close(descriptor)
    }

    private mutating func acceptAll() throws {
        while true {
            switch try acceptClient(door) {
            case .client(let descriptor):
                peers[descriptor] = Peer()
                try add(descriptor, EPOLLIN.rawValue | EPOLLOUT.rawValue)
            case .nobody:
                isDoorOpen = false
                return
            case .noRoom: return
            }
        }
    }
}
