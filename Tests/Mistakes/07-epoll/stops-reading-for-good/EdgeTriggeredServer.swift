import Course
import Sockets

private let both = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue

/// A server that reacts to edges, and to nothing else.
private struct Edges {
    struct State {
        var backlog = [UInt8]()
        var ended = false
    }
    enum Outcome { case goesOn, over }

    let listener: Int32
    let queue: Int32
    var states: [Int32: State] = [:]
    var bytes = [UInt8](repeating: 0, count: 32_768)
    var peopleWait = false
    let cap = 65_536

    mutating func run() throws {
        var list = [epoll_event](repeating: epoll_event(), count: 300)
        while true {
            let n = epoll_wait(queue, &list, 300, peopleWait ? 100 : -1)
            if n < 0 {
                guard errno == EINTR else { throw SocketError("epoll_wait", errno) }
                continue
            }
            for k in 0..<Int(n) {
                let descriptor = list[k].data.fd
                if descriptor == listener {
                    peopleWait = true
                } else if states[descriptor] != nil {
                    if case .over = react(descriptor, list[k].events) {
                        states[descriptor] = nil
                        close(descriptor)
                    }
                }
            }
            if peopleWait { try admit() }
        }
    }

    private mutating func admit() throws {
        while true {
            switch try acceptClient(listener) {
            case .nobody:
                peopleWait = false
                return
            case .noRoom:
                return
            case .client(let descriptor):
                var event = epoll_event(events: both, data: epoll_data_t(fd: descriptor))
                try check("epoll_ctl", epoll_ctl(queue, EPOLL_CTL_ADD, descriptor, &event))
                states[descriptor] = State()
            }
        }
    }

    private mutating func react(_ descriptor: Int32, _ events: UInt32) -> Outcome {
        if events & ~EPOLLOUT.rawValue != 0, case .over = takeAll(descriptor) { return .over }
        // New answers, or room for old ones.
        if case .over = giveAll(descriptor) { return .over }
        let state = states[descriptor]!
        return state.ended && state.backlog.isEmpty ? .over : .goesOn
    }

    /// Until EAGAIN, the end, or more than is to be kept for one client.
    private mutating func takeAll(_ descriptor: Int32) -> Outcome {
        while !states[descriptor]!.ended && states[descriptor]!.backlog.count < cap {
            let n = recv(descriptor, &bytes, bytes.count, 0)
            switch n {
            case 0: states[descriptor]!.ended = true
            case 1...:
                for k in 0..<n where bytes[k] >= 0x61 && bytes[k] <= 0x7A { bytes[k] ^= 0x20 }
                states[descriptor]!.backlog += bytes[..<n]
            default:
                if errno == EINTR { continue }
                return errno == EAGAIN ? .goesOn : .over
            }
        }
        return .goesOn
    }

    /// Until EAGAIN, or nothing is left.
    private mutating func giveAll(_ descriptor: Int32) -> Outcome {
        var given = 0
        var outcome = Outcome.goesOn
        let backlog = states[descriptor]!.backlog
        while given < backlog.count {
            let n = backlog[given...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if n >= 0 {
                given += n
            } else if errno != EINTR {
                if errno != EAGAIN { outcome = .over }
                break
            }
        }
        if given > 0 { states[descriptor]!.backlog.removeFirst(given) }
        return outcome
    }
}

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let queue = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(queue) }
    var event = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: listener))
    try check("epoll_ctl", epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event))
    var server = Edges(listener: listener, queue: queue)
    defer { server.states.keys.forEach { close($0) } }
    try server.run()
}
