// Dispatch: one serial queue is the lock, the order and the loop; sources say what is ready.
import Course
import Dispatch
import Foundation
import Solution05
import Sockets

private final class Guest {
    let number: Int
    let fd: Int32
    var frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    /// Whole frames, shared with all other guests; the first `sent` bytes of the first are gone.
    var waiting: [[UInt8]] = []
    var first = 0
    var sent = 0
    var bytesWaiting = 0
    let readable: any DispatchSourceRead
    let writable: any DispatchSourceWrite
    var readsAreOn = true
    var writesAreOn = false

    enum State { case open, ended, lastWords, listening }
    /// ended: the peer has ended its side. lastWords: we want to end. listening: we have ended ours and wait for 0.
    var state = State.open

    init(number: Int, fd: Int32, queue: DispatchQueue) {
        self.number = number
        self.fd = fd
        readable = DispatchSource.makeReadSource(fileDescriptor: fd, queue: queue)
        writable = DispatchSource.makeWriteSource(fileDescriptor: fd, queue: queue)
    }
}

private final class Hall {
    let queue = DispatchQueue(label: "room")
    let listener: Int32
    let rules: RoomRules
    let room: Room
    var guests: [Int: Guest] = [:]
    var nextNumber = 1
    var dirty: Set<Int> = []
    var door: (any DispatchSourceRead)!
    var buffer = [UInt8](repeating: 0, count: 1 << 16)

    init(listener: Int32, rules: RoomRules) {
        self.listener = listener
        self.rules = rules
        room = Room(rules: rules)
    }

    func open() {
        door = DispatchSource.makeReadSource(fileDescriptor: listener, queue: queue)
        door.setEventHandler { [unowned self] in self.acceptAll() }
        door.resume()
    }

    func acceptAll() {
        while true {
            let fd = accept4(listener, nil, nil, Int32(SOCK_CLOEXEC.rawValue))
            if fd < 0 {
                switch errno {
                case EINTR, ECONNABORTED: continue
                case EAGAIN: return
                default:
                    // No descriptors left: the backlog keeps them, look again soon.
                    door.suspend()
                    queue.asyncAfter(deadline: .now() + .milliseconds(100)) { self.door.resume() }
                    return
                }
            }
            let guest = Guest(number: nextNumber, fd: fd, queue: queue)
            nextNumber += 1
            guests[guest.number] = guest
            let number = guest.number
            guest.readable.setEventHandler { self.read(number) }
            guest.writable.setEventHandler {
                self.dirty.insert(number)
                self.flush()
            }
            let group = DispatchGroup()
            group.enter()
            group.enter()
            guest.readable.setCancelHandler { group.leave() }
            guest.writable.setCancelHandler { group.leave() }
            group.notify(queue: queue) { close(fd) }
            guest.readable.resume()
            queue.asyncAfter(deadline: .now() + .milliseconds(Int(rules.loginPatience))) {
                guard let guest = self.guests[number], guest.state == .open, !self.room.has(number) else { return }
                self.drop(guest)
                self.flush()
            }
        }
    }

    func read(_ number: Int) {
        guard let guest = guests[number] else { return }
        let count = recv(guest.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            drop(guest)
        } else if count == 0 {
            switch guest.state {
            case .open:
                guest.state = .ended
                pauseReads(guest)
                carryOut(room.leave(number))
                dirty.insert(number)
            case .lastWords: pauseReads(guest)
            case .listening, .ended: drop(guest)
            }
        } else if guest.state == .open {
            guest.frames.feed(Array(buffer[..<count]))
            frames: while guest.state == .open {
                do {
                    guard let frame = try guest.frames.next() else { break frames }
                    let message = try decodeMessage(frame)
                    carryOut(room.receive(message, from: number, at: Date().timeIntervalSince1970))
                } catch MessageError.unknownType {
                    carryOut([.send(.error(.unknownType), to: [number])])
                } catch is MessageError {
                    carryOut([.send(.error(.badMessage), to: [number])])
                } catch {
                    carryOut([.send(.error(.tooLong), to: [number])] + room.leave(number) + [.close(number)])
                }
            }
        }
        flush()
    }

    func carryOut(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            switch delivery {
            case .send(let message, let numbers):
                let frame = Solution05.reference.encodeFrame(encodeMessage(message))
                for guest in numbers.compactMap({ guests[$0] }) {
                    guest.waiting.append(frame)
                    guest.bytesWaiting += frame.count
                    dirty.insert(guest.number)
                }
            case .close(let number):
                guests[number]?.state = .lastWords
                dirty.insert(number)
            }
        }
    }

    func flush() {
        while let number = dirty.popFirst() {
            guard let guest = guests[number] else { continue }
            guard push(guest) else {
                drop(guest)
                continue
            }
            if guest.bytesWaiting > 64 * 1024 {
                drop(guest)
            } else if guest.bytesWaiting > 0 {
                if !guest.writesAreOn { guest.writable.resume() }
                guest.writesAreOn = true
            } else {
                if guest.writesAreOn { guest.writable.suspend() }
                guest.writesAreOn = false
                if guest.state == .ended { drop(guest) }
                if guest.state == .lastWords { finish(guest) }
            }
        }
    }

    /// False: the connection is broken.
    func push(_ guest: Guest) -> Bool {
        while guest.first < guest.waiting.count {
            let frame = guest.waiting[guest.first]
            let count = frame.withUnsafeBytes {
                send(
                    guest.fd, $0.baseAddress! + guest.sent, frame.count - guest.sent,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN
            }
            guest.sent += count
            guest.bytesWaiting -= count
            if guest.sent == frame.count {
                guest.sent = 0
                guest.first += 1
                if guest.first > 500 {
                    guest.waiting.removeFirst(guest.first)
                    guest.first = 0
                }
            }
        }
        guest.waiting = []
        guest.first = 0
        return true
    }

    func finish(_ guest: Guest) {
        shutdown(guest.fd, SHUT_WR)
        guest.state = .listening
        if !guest.readsAreOn { return drop(guest) }
        let number = guest.number
        queue.asyncAfter(deadline: .now() + .seconds(2)) {
            if let guest = self.guests[number] { self.drop(guest) }
        }
    }

    func pauseReads(_ guest: Guest) {
        if guest.readsAreOn { guest.readable.suspend() }
        guest.readsAreOn = false
    }

    /// The one end of every guest; the sources' cancel handlers close the descriptor.
    func drop(_ guest: Guest) {
        guard guests.removeValue(forKey: guest.number) != nil else { return }
        guest.readable.cancel()
        guest.writable.cancel()
        if !guest.readsAreOn { guest.readable.resume() }
        if !guest.writesAreOn { guest.writable.resume() }
        carryOut(room.leave(guest.number))
    }
}

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check(
        "socket",
        socket(address.family, Int32(SOCK_STREAM) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0))
    do {
        var yes: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
        if address.family == AF_INET6 {
            try check("setsockopt", setsockopt(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &yes, 4))
        }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    let hall = Hall(listener: listener, rules: rules)
    hall.queue.sync { hall.open() }
    withExtendedLifetime(hall) { DispatchSemaphore(value: 0).wait() }
}
