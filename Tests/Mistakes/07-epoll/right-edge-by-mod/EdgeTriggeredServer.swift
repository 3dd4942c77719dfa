import Course
import Sockets

/// No list of its own of those who were left in the middle: EPOLL_CTL_MOD makes the kernel look again, and report whoever is
/// still ready as if it were new. It comes behind the others then.
func edgeTriggeredServer(host: String, port: UInt16) throws {
    let hall = try Hall(host: host, port: port)
    defer { hall.leave() }
    while true { try hall.once() }
}

private final class Hall {
    private final class Line {
        var queue: [ArraySlice<UInt8>] = []
        var waiting = 0
        var isHearing = true
    }
    private enum Step {
        case moved
        case stuck
        case dead
    }
    private let listener: Int32
    private let list: Int32
    private var lines: [Int32: Line] = [:]
    private var isStarved = false
    private var events = [epoll_event](repeating: epoll_event(), count: 256)
    private var block = [UInt8](repeating: 0, count: 12_288)

    init(host: String, port: UInt16) throws {
        let socket = try makeListener(host: host, port: port)
        do {
            list = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        } catch {
            close(socket)
            throw error
        }
        listener = socket
        try ask(EPOLL_CTL_ADD, listener, EPOLLIN.rawValue)
    }

    func leave() {
        for number in lines.keys { close(number) }
        close(listener)
        close(list)
    }

    private func ask(_ operation: Int32, _ number: Int32, _ what: UInt32) throws {
        var event = epoll_event(events: what | EPOLLET.rawValue, data: epoll_data_t(fd: number))
        try check("epoll_ctl", epoll_ctl(list, operation, number, &event))
    }

    private var both: UInt32 { EPOLLIN.rawValue | EPOLLOUT.rawValue }

    func once() throws {
        let count = Int(epoll_wait(list, &events, Int32(events.count), isStarved ? 100 : -1))
        if count < 0 {
            if errno == EINTR { return }
            throw SocketError("epoll_wait", errno)
        }
        var someoneKnocks = isStarved
        for index in 0..<count {
            let number = events[index].data.fd
            if number == listener {
                someoneKnocks = true
            } else if let line = lines[number] {
                try work(number, line)
            }
        }
        if someoneKnocks { try welcome() }
    }

    private func work(_ number: Int32, _ line: Line) throws {
        for _ in 0..<20 {
            let heard = line.isHearing && line.waiting < 65_536 ? hear(number, line) : .stuck
            let said = heard != .dead && line.waiting > 0 ? say(number, line) : .stuck
            if heard == .dead || said == .dead || !line.isHearing && line.waiting == 0 {
                lines[number] = nil
                close(number)
                return
            }
            // Neither gets anywhere: both have said EAGAIN, or wait for the other, and the next edge will tell.
            if heard == .stuck && said == .stuck { return }
        }
        try ask(EPOLL_CTL_MOD, number, both)
    }

    private func hear(_ number: Int32, _ line: Line) -> Step {
        let count = recv(number, &block, block.count, 0)
        if count < 0 { return outcome() }
        if count == 0 {
            line.isHearing = false
            return .stuck
        }
        line.queue.append(block[..<count].map { (UInt8(ascii: "a")...UInt8(ascii: "z")) ~= $0 ? $0 - 32 : $0 }[...])
        line.waiting += count
        return .moved
    }

    private func say(_ number: Int32, _ line: Line) -> Step {
        let first = line.queue[0]
        let count = first.withUnsafeBytes { send(number, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 { return outcome() }
        line.waiting -= count
        if count == first.count { line.queue.removeFirst() } else { line.queue[0] = first.dropFirst(count) }
        return .moved
    }

    private func outcome() -> Step {
        switch errno {
        case EINTR: return .moved
        case EAGAIN: return .stuck
        default: return .dead
        }
    }

    private func welcome() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let number):
                lines[number] = Line()
                try ask(EPOLL_CTL_ADD, number, both)
            case .nobody:
                isStarved = false
                return
            case .noRoom:
                isStarved = true
                return
            }
        }
    }
}
