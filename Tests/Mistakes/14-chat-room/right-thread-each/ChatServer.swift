import Course
import Foundation
import Solution05
import Sockets

// A thread listens to each guest, as a goroutine would. One lock covers the room and all queues; whoever holds it never
// waits: sends are MSG_DONTWAIT, and what the kernel does not take is the business of one more thread, the porter.

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let hall = try Hall(rules)
    while true {
        var door = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        if poll(&door, 1, -1) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            continue
        }
        switch try acceptClient(listener) {
        case .nobody: continue
        case .noRoom: usleep(100_000)
        case .client(let descriptor): hall.admit(descriptor)
        }
    }
}

private final class Guest: @unchecked Sendable {
    enum State { case inside, leaving, dead }

    let number: Int
    let descriptor: Int32
    var state = State.inside
    var isMember = false
    var isClosed = false
    var waiting: [UInt8] = []
    var sent = 0

    var backlog: Int { waiting.count - sent }

    init(_ number: Int, _ descriptor: Int32) {
        self.number = number
        self.descriptor = descriptor
    }
}

private final class Hall: @unchecked Sendable {
    private let lock = NSLock()
    private let rules: RoomRules
    private let framing = Solution05.reference
    private let bell: Int32

    // All of this only with the lock.
    private var room: Room
    private var guests: [Int: Guest] = [:]
    private var last = 0
    /// Those for whom the kernel had no room.
    private var blocked: Set<Int> = []
    /// What is to be done, in its order: what is found out on the way is put behind.
    private var agenda: [Delivery] = []
    private var isAtWork = false

    init(_ rules: RoomRules) throws {
        self.rules = rules
        room = Room(rules: rules)
        bell = try check("eventfd", eventfd(0, Int32(EFD_NONBLOCK)))
        guard spawn({ [self] in carryLoads() }) else {
            close(bell)
            throw SocketError("pthread_create", EAGAIN)
        }
    }

    func admit(_ descriptor: Int32) {
        let guest = lock.withLock { () -> Guest in
            last += 1
            let guest = Guest(last, descriptor)
            guests[last] = guest
            return guest
        }
        if !spawn({ [self] in attend(guest) }) { lock.withLock { bury(guest) } }
    }

    // MARK: The thread of a guest

    private func attend(_ guest: Guest) {
        let hasEnded = listen(to: guest)
        seeOff(guest, hasEnded)
        lock.withLock { bury(guest) }
    }

    /// - Returns: whether the guest has ended its stream.
    private func listen(to guest: Guest) -> Bool {
        var decoder = framing.makeFrameDecoder(Lesson14.frameLimit)
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let due = monotonicMilliseconds() + rules.loginPatience
        while true {
            let (state, isMember) = lock.withLock { (guest.state, guest.isMember) }
            guard state == .inside else { return false }
            var wait: Int32 = -1
            if !isMember {
                let left = due - monotonicMilliseconds()
                if left <= 0 {
                    lock.withLock { drop(guest) }
                    return false
                }
                wait = Int32(clamping: left)
            }
            var interest = pollfd(fd: guest.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&interest, 1, wait) > 0 else { continue }
            let count = recv(guest.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                lock.withLock { drop(guest) }
                return false
            }
            if count == 0 {
                lock.withLock {
                    guard guest.state == .inside else { return }
                    guest.state = .leaving
                    work(room.leave(guest.number))
                }
                return true
            }
            decoder.feed(Array(buffer[0..<count]))
            while handleNext(of: &decoder, guest) {}
        }
    }

    /// - Returns: false when there is no frame any more, or nobody who would care.
    private func handleNext(of decoder: inout any MessageDecoder, _ guest: Guest) -> Bool {
        let me = [guest.number]
        let frame: [UInt8]?
        do { frame = try decoder.next() } catch {
            lock.withLock {
                guard guest.state == .inside else { return }
                work([.send(.error(.tooLong), to: me)])
                if guest.state == .inside { guest.state = .leaving }
                work(room.leave(guest.number))
            }
            return false
        }
        guard let frame else { return false }
        // Without the lock: others may read meanwhile.
        let message = Swift.Result { try decodeMessage(frame) }
        return lock.withLock {
            guard guest.state == .inside else { return false }
            switch message {
            case .success(let message):
                work(room.receive(message, from: guest.number, at: Date().timeIntervalSince1970))
            case .failure(MessageError.unknownType): work([.send(.error(.unknownType), to: me)])
            case .failure: work([.send(.error(.badMessage), to: me)])
            }
            return guest.state == .inside
        }
    }

    /// Sends what waits, then the end, and waits for the other's end.
    private func seeOff(_ guest: Guest, _ hasEnded: Bool) {
        var hasEnded = hasEnded
        var buffer = [UInt8](repeating: 0, count: 4096)
        var due = monotonicMilliseconds() + 30_000
        var isSaid = false
        while true {
            let (state, rest) = lock.withLock { () -> (Guest.State, Int) in
                push(guest)
                return (guest.state, guest.backlog)
            }
            if state == .dead { return }
            if rest == 0 && !isSaid {
                shutdown(guest.descriptor, Int32(SHUT_WR))
                isSaid = true
                due = monotonicMilliseconds() + 2000
            }
            if isSaid && hasEnded { return }
            let left = due - monotonicMilliseconds()
            if left <= 0 { return }
            var interest = pollfd(fd: guest.descriptor, events: 0, revents: 0)
            if !hasEnded { interest.events |= Int16(POLLIN) }
            if !isSaid { interest.events |= Int16(POLLOUT) }
            guard poll(&interest, 1, Int32(clamping: left)) > 0, !hasEnded else { continue }
            let count = recv(guest.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count == 0 { hasEnded = true }
            if count < 0 && errno != EINTR && errno != EAGAIN { return }
        }
    }

    // MARK: With the lock

    private func work(_ deliveries: [Delivery]) {
        agenda += deliveries
        guard !isAtWork else { return }
        isAtWork = true
        var index = 0
        while index < agenda.count {
            let delivery = agenda[index]
            index += 1
            switch delivery {
            case .close(let number): if let guest = guests[number], guest.state == .inside { guest.state = .leaving }
            case .send(let message, let numbers):
                let frame = framing.encodeFrame(encodeMessage(message))
                let isWelcome = message == .loginResponse(refusal: nil)
                for number in numbers {
                    guard let guest = guests[number], guest.state == .inside else { continue }
                    if isWelcome { guest.isMember = true }
                    put(frame, guest)
                }
            }
        }
        agenda.removeAll()
        isAtWork = false
    }

    private func put(_ frame: [UInt8], _ guest: Guest) {
        let wasEmpty = guest.backlog == 0
        guest.waiting += frame
        if wasEmpty || guest.backlog > rules.queueLimit { push(guest) }
        if guest.backlog > rules.queueLimit {
            drop(guest)
        } else if guest.backlog > 0, blocked.insert(guest.number).inserted {
            ring()
        }
    }

    /// As much as the kernel takes.
    private func push(_ guest: Guest) {
        guard guest.state != .dead, !guest.isClosed else { return }
        while guest.backlog > 0 {
            let count = guest.waiting.withUnsafeBytes { bytes in
                send(
                    guest.descriptor, bytes.baseAddress! + guest.sent, bytes.count - guest.sent,
                    Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { drop(guest) }
                break
            }
            guest.sent += count
        }
        if guest.backlog == 0 {
            guest.waiting = []
            guest.sent = 0
        } else if guest.sent > 65_536 && guest.sent > guest.waiting.count / 2 {
            guest.waiting.removeFirst(guest.sent)
            guest.sent = 0
        }
    }

    /// Its own thread wakes up by this, and closes.
    private func drop(_ guest: Guest) {
        guard guest.state != .dead else { return }
        guest.state = .dead
        guest.waiting = []
        guest.sent = 0
        if !guest.isClosed { shutdown(guest.descriptor, Int32(SHUT_RDWR)) }
        work(room.leave(guest.number))
    }

    private func bury(_ guest: Guest) {
        guests[guest.number] = nil
        blocked.remove(guest.number)
        guest.state = .dead
        guest.isClosed = true
        close(guest.descriptor)
    }

    private func ring() {
        var one: UInt64 = 1
        while write(bell, &one, 8) < 0 && errno == EINTR {}
    }

    // MARK: The porter

    private func carryLoads() {
        var polled: [pollfd] = []
        while true {
            let customers = lock.withLock { () -> [Guest] in
                blocked = blocked.filter { (guests[$0]?.backlog ?? 0) > 0 }
                return blocked.compactMap { guests[$0] }
            }
            polled = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
            polled += customers.map { pollfd(fd: $0.descriptor, events: Int16(POLLOUT), revents: 0) }
            guard poll(&polled, nfds_t(polled.count), -1) > 0 else { continue }
            if polled[0].revents != 0 {
                var count: UInt64 = 0
                _ = read(bell, &count, 8)
            }
            for (customer, answer) in zip(customers, polled.dropFirst()) where answer.revents != 0 {
                lock.withLock { push(customer) }
            }
        }
    }
}

/// A thread of its own, with a stack that a thousand of them can have.
private func spawn(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setstacksize(&attributes, 1 << 20)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let box = Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    let code = pthread_create(
        &thread, &attributes,
        { argument in
            Unmanaged<Box>.fromOpaque(argument!).takeRetainedValue().body()
            return nil
        }, box.toOpaque())
    if code != 0 { box.release() }
    return code == 0
}
