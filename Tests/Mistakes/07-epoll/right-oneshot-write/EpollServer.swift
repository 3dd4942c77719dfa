import Course
import Sockets

func epollServer(host: String, port: UInt16) throws {
    var shop = try OneShot(host: host, port: port)
    defer { shop.closeEverything() }
    while true { _ = try shop.round(atMost: -1) }
}

/// Where a connection is in its life.
enum Phase {
    /// It may send.
    case open
    /// It will send nothing more, and still has answers to come.
    case ending
    case over
}

struct Conversation {
    var phase = Phase.open
    var answers = ArraySlice<UInt8>()
    /// When something was last heard of it, in milliseconds.
    var heardAt: Int

    static let enough = 48 * 1024
    var listens: Bool { phase == .open && answers.count < Conversation.enough }
    var speaks: Bool { phase != .over && !answers.isEmpty }

    /// - Returns: true if bytes came.
    mutating func hear(_ fd: Int32, _ room: inout [UInt8]) -> Bool {
        while true {
            let n = read(fd, &room, room.count)
            switch n {
            case 1...:
                for i in 0..<n where room[i] >= 97 && room[i] <= 122 { room[i] -= 32 }
                answers += room[..<n]
                return true
            case 0:
                phase = answers.isEmpty ? .over : .ending
                return false
            default:
                if errno == EINTR { continue }
                if errno != EAGAIN { phase = .over }
                return false
            }
        }
    }

    /// write has no MSG_NOSIGNAL: SIGPIPE is ignored by everybody who gets here.
    mutating func speak(_ fd: Int32) {
        while true {
            let n = answers.withUnsafeBytes { write(fd, $0.baseAddress, $0.count) }
            if n >= 0 {
                answers = answers.dropFirst(n)
                // A new start now and then, or the array behind the slice would grow for ever.
                if answers.isEmpty {
                    answers = []
                } else if answers.startIndex > 65_536 {
                    answers = ArraySlice(Array(answers))
                }
                if answers.isEmpty && phase == .ending { phase = .over }
                return
            }
            if errno == EINTR { continue }
            if errno != EAGAIN { phase = .over }
            return
        }
    }
}

/// Each descriptor is reported once (EPOLLONESHOT), and then armed again for what it needs next. Level-triggered all the
/// same: what was not read is reported as soon as it is armed.
struct OneShot {
    let list: Int32
    let door: Int32
    private(set) var isDoorOpen = true
    /// By descriptor.
    private var table: [Conversation?] = []
    private(set) var count = 0
    private var events = [epoll_event](repeating: epoll_event(), count: 2048)
    private var room = [UInt8](repeating: 0, count: 16_384)
    private var doorArmed = true
    private(set) var calls: Set<Int32> = []

    init(host: String, port: UInt16) throws {
        signal(SIGPIPE, SIG_IGN)
        door = try openDoor(host: host, port: port)
        list = epoll_create1(Int32(EPOLL_CLOEXEC))
        if list < 0 {
            let code = errno
            close(door)
            throw SocketError("epoll_create1", code)
        }
        try watch(door, EPOLLIN.rawValue)
    }

    func watch(_ fd: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask, data: epoll_data_t(fd: fd))
        if epoll_ctl(list, EPOLL_CTL_MOD, fd, &event) == 0 { return }
        guard errno == ENOENT else { throw SocketError("epoll_ctl", errno) }
        try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, fd, &event))
    }

    var descriptors: [Int32] { table.indices.filter { table[$0] != nil }.map { Int32($0) } }
    func heardAt(_ fd: Int32) -> Int { table[Int(fd)]?.heardAt ?? 0 }

    /// - Returns: true if everything that had happened was seen; false: call again before you judge.
    mutating func round(atMost milliseconds: Int) throws -> Bool {
        var time = milliseconds
        if !doorArmed && isDoorOpen && (time < 0 || time > 100) { time = 100 }
        let n = Int(epoll_wait(list, &events, Int32(events.count), Int32(clamping: time)))
        if n < 0 {
            if errno == EINTR { return false }
            throw SocketError("epoll_wait", errno)
        }
        var knock = !doorArmed
        for i in 0..<n {
            let fd = events[i].data.fd
            if fd == door {
                knock = true
            } else if Int(fd) < table.count, table[Int(fd)] != nil {
                try attend(fd)
            } else {
                calls.insert(fd)
            }
        }
        if knock && isDoorOpen { try letIn() }
        return n < events.count
    }

    private mutating func attend(_ fd: Int32) throws {
        // Out of the table while it is worked on: no second copy of its bytes.
        guard var one = table[Int(fd)].take() else { return }
        if one.listens, one.hear(fd, &room) { one.heardAt = milliseconds() }
        if one.speaks { one.speak(fd) }
        table[Int(fd)] = one
        try settle(fd)
    }

    private mutating func settle(_ fd: Int32) throws {
        guard let one = table[Int(fd)] else { return }
        if case .over = one.phase { return sendAway(fd) }
        try watch(
            fd,
            EPOLLONESHOT.rawValue | (one.listens ? EPOLLIN.rawValue : 0) | (one.speaks ? EPOLLOUT.rawValue : 0))
    }

    mutating func sendAway(_ fd: Int32) {
        table[Int(fd)] = nil
        count -= 1
        close(fd)
    }

    private mutating func letIn() throws {
        while true {
            let fd = accept(door, nil, nil)
            if fd < 0 {
                switch errno {
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
                    EOPNOTSUPP:
                    continue
                case EAGAIN: return try arm(true)
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return try arm(false)
                default: throw SocketError("accept", errno)
                }
            }
            var on: Int32 = 1
            guard ioctl(fd, UInt(FIONBIO), &on) == 0 else {
                close(fd)
                continue
            }
            while table.count <= Int(fd) { table.append(nil) }
            table[Int(fd)] = Conversation(heardAt: milliseconds())
            count += 1
            try settle(fd)
        }
    }

    private mutating func arm(_ on: Bool) throws {
        if doorArmed != on { try watch(door, on ? EPOLLIN.rawValue : 0) }
        doorArmed = on
    }

    /// Takes nobody in, hears nothing more; who has nothing coming leaves.
    mutating func lastOrders() throws {
        isDoorOpen = false
        close(door)
        for fd in descriptors {
            table[Int(fd)]!.phase = table[Int(fd)]!.speaks ? .ending : .over
            try settle(fd)
        }
    }

    mutating func closeEverything() {
        for fd in descriptors { sendAway(fd) }
        if isDoorOpen { close(door) }
        isDoorOpen = false
        close(list)
    }
}

func openDoor(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    var one: Int32 = 1
    var call = ""
    let steps: [(String, () -> Int32)] = [
        ("setsockopt", { setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)) }),
        ("bind", { address.withSockaddr { bind(fd, $0, $1) } }),
        ("listen", { listen(fd, SOMAXCONN) }),
    ]
    for (name, step) in steps where step() != 0 {
        call = name
        break
    }
    guard call.isEmpty else {
        let code = errno
        close(fd)
        throw SocketError(call, code)
    }
    return fd
}

func milliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int(now.tv_sec) * 1000 + Int(now.tv_nsec) / 1_000_000
}

extension Optional {
    /// The value; nil stays behind.
    mutating func take() -> Wrapped? {
        defer { self = nil }
        return self
    }
}
