import Sockets

func iterativeServer(host: String, port: UInt16) throws {
    let door = try open(host, port)
    defer { close(door) }
    while true {
        guard let guest = try admit(door) else { continue }
        talk(guest)
        close(guest)
    }
}

func open(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let door = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    let outcome = Result {
        var yes: Int32 = 1
        try withUnsafeBytes(of: &yes) {
            _ = try check(
                "setsockopt", setsockopt(door, SOL_SOCKET, SO_REUSEADDR, $0.baseAddress, socklen_t($0.count)))
        }
        _ = try check("bind", address.withSockaddr { bind(door, $0, $1) })
        _ = try check("listen", listen(door, SOMAXCONN))
    }
    if case .failure(let error) = outcome {
        close(door)
        throw error
    }
    return door
}

/// Waits for events on one descriptor: a signal or a time limit ends it as well.
@discardableResult
func look(_ descriptor: Int32, _ events: Int32, _ patience: Int32 = -1) -> Bool {
    var one = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    return poll(&one, 1, patience) > 0
}

/// The next guest, non-blocking; nil: nobody yet, look again. Waits at most `patience`.
func admit(_ door: Int32, _ patience: Int32 = -1) throws -> Int32? {
    let guest = accept4(door, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
    if guest >= 0 { return guest }
    switch errno {
    case EAGAIN: look(door, POLLIN, patience)
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: poll(nil, 0, 50)
    case EBADF, EINVAL, EFAULT, ENOTSOCK, EOPNOTSUPP: throw SocketError("accept4", errno)
    default: break
    }
    return nil
}

/// One step with a non-blocking descriptor.
enum Step {
    case moved(Int)
    case wait
    case over

    init(_ result: Int) {
        switch result {
        case 1...: self = .moved(result)
        case 0: self = .over
        default:
            switch errno {
            case EINTR: self = .moved(0)
            case EAGAIN: self = .wait
            default: self = .over
            }
        }
    }
}

/// The conversation as a state machine, which knows nothing of how one waits.
struct Conversation {
    enum Need { case input, room, nothing, end }

    let guest: Int32
    private var bytes = [UInt8](repeating: 0, count: 6000)
    private var answer: Range<Int> = 0..<0

    init(_ guest: Int32) { self.guest = guest }

    /// Goes one step on, and says what it needs for the next.
    mutating func advance() -> Need {
        if answer.isEmpty {
            switch Step(recv(guest, &bytes, bytes.count, 0)) {
            case .over: return .end
            case .wait: return .input
            case .moved(let count):
                for index in 0..<count where (97...122).contains(bytes[index]) { bytes[index] -= 32 }
                answer = 0..<count
                return .nothing
            }
        }
        let step = bytes[answer].withUnsafeBytes { Step(send(guest, $0.baseAddress, $0.count, MSG_NOSIGNAL)) }
        switch step {
        case .over: return .end
        case .wait: return .room
        case .moved(let count):
            answer = (answer.lowerBound + count)..<answer.upperBound
            return .nothing
        }
    }
}

/// With a thread that waits. The caller closes.
func talk(_ guest: Int32) {
    var conversation = Conversation(guest)
    while true {
        switch conversation.advance() {
        case .nothing: break
        case .input: look(guest, POLLIN)
        case .room: look(guest, POLLOUT)
        case .end: return
        }
    }
}
