import Course
import Foundation
import Solution05
import Sockets

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var town = Town(listener, rules)
    while true { try town.turn() }
}

/// A frame is shared by all the queues that it is in: nothing is copied until the kernel does.
private final class Person {
    let fd: Int32
    var decoder = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    var frames: [[UInt8]] = []
    var first = 0
    var bytes = 0
    /// To be a member by, or to end by.
    var due: Milliseconds?
    var isLeaving = false
    var hasSaidEnd = false
    var hasEnded = false
    var isDead = false

    init(_ fd: Int32) { self.fd = fd }

    func enqueue(_ frame: [UInt8]) {
        frames.append(frame)
        bytes += frame.count
    }

    /// As many frames as writev takes at a time.
    func write() {
        while first < frames.count && !isDead {
            let some = frames[first..<min(frames.count, first + 32)]
            var vectors: [iovec] = []
            var pinned: [UnsafeMutableRawPointer] = []
            for frame in some {
                let copy = UnsafeMutableRawPointer.allocate(byteCount: frame.count, alignment: 1)
                frame.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress!, byteCount: frame.count) }
                pinned.append(copy)
                vectors.append(iovec(iov_base: copy, iov_len: frame.count))
            }
            var header = msghdr()
            var count = vectors.withUnsafeMutableBufferPointer { vectors -> Int in
                header.msg_iov = vectors.baseAddress
                header.msg_iovlen = vectors.count
                return sendmsg(fd, &header, MSG_NOSIGNAL)
            }
            let code = errno
            pinned.forEach { $0.deallocate() }
            if count < 0 {
                if code == EINTR { continue }
                if code != EAGAIN { isDead = true }
                return
            }
            while first < frames.count && count >= frames[first].count {
                count -= frames[first].count
                bytes -= frames[first].count
                first += 1
            }
            if count > 0 { break }
        }
        if first == frames.count || first > 256 {
            frames.removeFirst(first)
            first = 0
        }
    }
}

private struct Town {
    let listener: Int32
    let rules: RoomRules
    var room: Room
    var people: [Int: Person] = [:]
    var last = 0
    var acceptAfter: Milliseconds = 0

    init(_ listener: Int32, _ rules: RoomRules) {
        self.listener = listener
        self.rules = rules
        room = Room(rules: rules)
    }

    mutating func turn() throws {
        var numbers: [Int] = []
        var entries: [pollfd] = []
        var soonest: Milliseconds?
        let before = monotonicMilliseconds()
        for (number, person) in people {
            let events = (person.hasEnded ? 0 : POLLIN) | (person.bytes > 0 ? POLLOUT : 0)
            numbers.append(number)
            entries.append(pollfd(fd: events == 0 ? -1 : person.fd, events: Int16(events), revents: 0))
            if let due = person.due { soonest = min(soonest ?? due, due) }
        }
        if acceptAfter > before { soonest = min(soonest ?? acceptAfter, acceptAfter) }
        entries.append(pollfd(fd: acceptAfter > before ? -1 : listener, events: Int16(POLLIN), revents: 0))
        let timeout = soonest.map { Int32(clamping: max(0, $0 - before)) } ?? -1
        let ready = poll(&entries, nfds_t(entries.count), timeout)
        if ready < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            return
        }
        for (number, entry) in zip(numbers, entries) where entry.revents != 0 {
            guard let person = people[number] else { continue }
            if Int32(entry.revents) & POLLOUT != 0 { person.write() }
            if Int32(entry.revents) & (POLLIN | POLLHUP | POLLERR) != 0 { read(number, person) }
        }
        if entries[entries.count - 1].revents != 0 { try welcome() }
        tidy()
    }

    private mutating func welcome() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let fd):
                last += 1
                let person = Person(fd)
                person.due = monotonicMilliseconds() + rules.loginPatience
                people[last] = person
            case .nobody: return
            case .noRoom:
                acceptAfter = monotonicMilliseconds() + 100
                return
            }
        }
    }

    private mutating func read(_ number: Int, _ person: Person) {
        guard !person.isDead, !person.hasEnded else { return }
        var chunk = [UInt8](repeating: 0, count: 16_384)
        let count = recv(person.fd, &chunk, chunk.count, 0)
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { person.isDead = true }
            return
        }
        if count == 0 {
            person.hasEnded = true
            if !person.isLeaving {
                leave(person)
                deliver(room.leave(number))
            }
            return
        }
        if person.isLeaving { return }
        person.decoder.feed(Array(chunk[..<count]))
        do {
            while !person.isLeaving, !person.isDead, let frame = try person.decoder.next() {
                deliver(answer(frame, number))
            }
        } catch {
            deliver([.send(.error(.tooLong), to: [number])])
            leave(person)
            deliver(room.leave(number))
        }
    }

    private mutating func answer(_ frame: [UInt8], _ number: Int) -> [Delivery] {
        do {
            return room.receive(try decodeMessage(frame), from: number, at: Date().timeIntervalSince1970)
        } catch MessageError.unknownType {
            return [.send(.error(.unknownType), to: [number])]
        } catch {
            return [.send(.error(.badMessage), to: [number])]
        }
    }

    private func leave(_ person: Person) {
        person.isLeaving = true
        person.due = monotonicMilliseconds() + 2_000
    }

    private mutating func deliver(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            switch delivery {
            case .close(let number):
                if let person = people[number] { leave(person) }
            case .send(let message, let numbers):
                let frame = Solution05.reference.encodeFrame(encodeMessage(message))
                for number in numbers {
                    guard let person = people[number], !person.isDead, !person.isLeaving else { continue }
                    if message == .loginResponse(refusal: nil) { person.due = nil }
                    person.enqueue(frame)
                    if person.bytes > rules.queueLimit {
                        person.write()
                        if person.bytes > rules.queueLimit { person.isDead = true }
                    }
                }
            }
        }
    }

    /// Until nobody has died of it: who goes makes others hear of it.
    private mutating func tidy() {
        let now = monotonicMilliseconds()
        var somethingHappened = true
        while somethingHappened {
            somethingHappened = false
            for (number, person) in people {
                if person.bytes > 0 { person.write() }
                if person.isLeaving && person.bytes == 0 && !person.hasSaidEnd {
                    person.hasSaidEnd = true
                    shutdown(person.fd, SHUT_WR)
                }
                if let due = person.due, due <= now { person.isDead = true }
                guard person.isDead || person.hasSaidEnd && person.hasEnded else { continue }
                people[number] = nil
                close(person.fd)
                if !person.isLeaving {
                    deliver(room.leave(number))
                    somethingHappened = true
                }
            }
        }
    }
}
