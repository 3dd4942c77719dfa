import Course
import Sockets

/// Remembers what the last edges said, until a call says otherwise.
private final class Line {
    let fd: Int32
    var readable = false
    var writable = true
    var ended = false
    var dead = false
    var waitsForTurn = false
    private var store: [UInt8] = []
    private var head = 0

    private static let highWater = 48_000

    init(fd: Int32) { self.fd = fd }

    var backlog: Int { store.count - head }
    var isOver: Bool { dead || ended && backlog == 0 }
    private var takesMore: Bool { readable && !ended && backlog < Line.highWater }
    private var givesMore: Bool { writable && backlog > 0 }
    var canMove: Bool { !dead && (takesMore || givesMore) }

    func move(_ room: UnsafeMutableBufferPointer<UInt8>) {
        var turns = 0
        while canMove && turns < 24 {
            turns += 1
            if takesMore { take(room) }
            if !dead && givesMore { give() }
        }
    }

    private func take(_ room: UnsafeMutableBufferPointer<UInt8>) {
        let got = recv(fd, room.baseAddress, room.count, 0)
        if got > 0 {
            for i in 0..<got where room[i] >= 97 && room[i] <= 122 { room[i] &-= 32 }
            store.append(contentsOf: room[..<got])
            // Less than there was room for: the kernel has no more. That saves the call that would find nothing.
            if got < room.count { readable = false }
        } else if got == 0 {
            ended = true
        } else if errno == EAGAIN {
            readable = false
        } else if errno != EINTR {
            dead = true
        }
    }

    private func give() {
        let put = store.withUnsafeBufferPointer { send(fd, $0.baseAddress! + head, backlog, MSG_NOSIGNAL) }
        if put >= 0 {
            head += put
            if head == store.count {
                store.removeAll(keepingCapacity: store.capacity <= 32_768)
                head = 0
            } else if head > Line.highWater {
                store.removeSubrange(..<head)
                head = 0
            }
        } else if errno == EAGAIN {
            writable = false
        } else if errno != EINTR {
            dead = true
        }
    }
}

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(epoll) }
    var lines: [Int32: Line] = [:]
    defer { for fd in lines.keys { close(fd) } }
    let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16_384)
    room.initialize(repeating: 0)
    defer { room.deallocate() }

    var first = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: listener))
    try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &first))
    var events = [epoll_event](repeating: epoll_event(), count: 200)
    var turn: [Line] = []
    var queueHasSome = false

    while true {
        let timeout: Int32 = !turn.isEmpty ? 0 : queueHasSome ? 100 : -1
        let count = epoll_wait(epoll, &events, Int32(events.count), timeout)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        for event in events.prefix(max(0, Int(count))) {
            if event.data.fd == listener {
                queueHasSome = true
                continue
            }
            guard let line = lines[event.data.fd] else { continue }
            let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
            if broken || event.events & EPOLLIN.rawValue != 0 { line.readable = true }
            if broken || event.events & EPOLLOUT.rawValue != 0 { line.writable = true }
            if !line.waitsForTurn {
                line.waitsForTurn = true
                turn.append(line)
            }
        }

        let now = turn
        turn.removeAll(keepingCapacity: true)
        for line in now {
            line.waitsForTurn = false
            line.move(room)
            if line.isOver {
                lines[line.fd] = nil
                close(line.fd)
            } else if line.canMove {
                line.waitsForTurn = true
                turn.append(line)
            }
        }

        accepting: while queueHasSome {
            switch try acceptClient(listener) {
            case .client(let fd):
                let line = Line(fd: fd)
                var event = epoll_event(
                    events: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: fd))
                if epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 { close(fd) } else { lines[fd] = line }
            case .nobody: queueHasSome = false
            case .noRoom: break accepting
            }
        }
    }
}
