import Course
import Foundation
import Solution05
import Sockets

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let house = try House(host, port, rules)
    while true { try house.turn() }
}

private final class Guest {
    enum Stage {
        case talking
        /// Gets what waits for it, and no more.
        case leaving
        /// Has got it, and the end behind it.
        case told
        case gone
    }

    let number: Int
    let socket: Int32
    var decoder: any MessageDecoder
    var queue = FrameQueue()
    var stage = Stage.talking
    var hasEnded = false
    var due: Milliseconds?
    var interest: UInt32 = 0
    var isListed = false

    init(number: Int, socket: Int32, decoder: any MessageDecoder) {
        self.number = number
        self.socket = socket
        self.decoder = decoder
    }
}

/// Frames that wait. The same frame waits in many queues, and its bytes are there once.
private struct FrameQueue {
    private var frames: [[UInt8]] = []
    private var first = 0
    private var sent = 0
    private(set) var count = 0

    mutating func append(_ frame: [UInt8]) {
        frames.append(frame)
        count += frame.count
    }

    func front<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        frames[first].withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
    }

    mutating func took(_ bytes: Int) {
        sent += bytes
        count -= bytes
        guard sent == frames[first].count else { return }
        frames[first] = []
        first += 1
        sent = 0
        if first == frames.count {
            frames = []
            first = 0
        } else if first >= 1024 {
            frames.removeFirst(first)
            first = 0
        }
    }
}

private final class House {
    private let listener: Int32
    private let epoll: Int32
    private let rules: RoomRules
    private let framing = Solution05.reference
    private var room: Room
    private var guests: [Int: Guest] = [:]
    private var lastNumber = 0
    private var events = [epoll_event](repeating: epoll_event(), count: 128)
    private var room16K = [UInt8](repeating: 0, count: 16_384)
    /// Deliveries that are not carried out yet: one order for all.
    private var work: [Delivery] = []
    private var isWorking = false
    /// Who has something to send, or is to be closed.
    private var listed: [Guest] = []
    /// No descriptor was left: the listener is not asked about until then.
    private var acceptsAgain: Milliseconds?

    private static let lingering: Milliseconds = 2000

    init(_ host: String, _ port: UInt16, _ rules: RoomRules) throws {
        self.rules = rules
        room = Room(rules: rules)
        listener = try makeListener(host: host, port: port)
        do {
            epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        } catch {
            close(listener)
            throw error
        }
        try watch(listener, 0, EPOLLIN.rawValue, EPOLL_CTL_ADD)
    }

    deinit {
        for guest in guests.values { close(guest.socket) }
        close(epoll)
        close(listener)
    }

    /// Waits once, and does all that is to be done.
    func turn() throws {
        let count = epoll_wait(epoll, &events, Int32(events.count), timeout())
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var isKnocking = false
        for event in events.prefix(max(0, Int(count))) {
            guard event.data.u64 != 0 else {
                isKnocking = true
                continue
            }
            // Who was closed in this round has a number that nobody gets again.
            guard let guest = guests[Int(event.data.u64)] else { continue }
            look(at: guest, event.events)
        }
        dropOverdue()
        settle()
        if let again = acceptsAgain, again <= monotonicMilliseconds() {
            acceptsAgain = nil
            try watch(listener, 0, EPOLLIN.rawValue, EPOLL_CTL_MOD)
            isKnocking = true
        }
        if isKnocking { try letIn() }
        settle()
    }

    /// What happens to the line as a whole: the other side hung up (all of it, or its half), or it broke.
    private static let over = EPOLLRDHUP.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue

    private func look(at guest: Guest, _ happened: UInt32) {
        if happened & House.over != 0 { return lose(guest) }
        if happened & EPOLLIN.rawValue != 0 { read(guest) }
        list(guest)
    }

    // MARK: In

    private func letIn() throws {
        while true {
            switch try acceptClient(listener) {
            case .nobody: return
            case .noRoom:
                acceptsAgain = monotonicMilliseconds() + 100
                return try watch(listener, 0, 0, EPOLL_CTL_MOD)
            case .client(let socket):
                lastNumber += 1
                let guest = Guest(
                    number: lastNumber, socket: socket, decoder: framing.makeFrameDecoder(Lesson14.frameLimit))
                guest.due = monotonicMilliseconds() + rules.loginPatience
                guest.interest = EPOLLIN.rawValue | EPOLLRDHUP.rawValue
                do {
                    try watch(socket, guest.number, guest.interest, EPOLL_CTL_ADD)
                    guests[guest.number] = guest
                } catch {
                    close(socket)
                }
            }
        }
    }

    private func read(_ guest: Guest) {
        guard guest.stage != .gone, !guest.hasEnded else { return }
        let count = recv(guest.socket, &room16K, room16K.count, MSG_DONTWAIT)
        switch count {
        case 1...:
            guard guest.stage == .talking else { return }
            guest.decoder.feed(Array(room16K.prefix(count)))
            answer(guest)
        case 0:
            guest.hasEnded = true
            list(guest)
            guard guest.stage == .talking else { return }
            finish(guest)
            perform(room.leave(guest.number))
        default:
            if errno != EINTR && errno != EAGAIN { lose(guest) }
        }
    }

    /// Frame after frame, as long as there are any and they are listened to.
    private func answer(_ guest: Guest) {
        while guest.stage == .talking {
            let frame: [UInt8]
            do {
                guard let next = try guest.decoder.next() else { return }
                frame = next
            } catch {
                let farewell: [Delivery] = [.send(.error(.tooLong), to: [guest.number]), .close(guest.number)]
                return perform(farewell + room.leave(guest.number))
            }
            do {
                let message = try decodeMessage(frame)
                perform(room.receive(message, from: guest.number, at: Date().timeIntervalSince1970))
            } catch MessageError.unknownType {
                perform([.send(.error(.unknownType), to: [guest.number])])
            } catch {
                perform([.send(.error(.badMessage), to: [guest.number])])
            }
        }
    }

    // MARK: Out

    /// Who is dropped on the way makes more work: it is done behind what is under way, never between.
    private func perform(_ deliveries: [Delivery]) {
        work += deliveries
        guard !isWorking else { return }
        isWorking = true
        var done = 0
        while done < work.count {
            switch work[done] {
            case .send(let message, let numbers):
                let frame = framing.encodeFrame(encodeMessage(message))
                for number in numbers {
                    guard let guest = guests[number], guest.stage == .talking else { continue }
                    if message == .loginResponse(refusal: nil) { guest.due = nil }
                    give(frame, to: guest)
                }
            case .close(let number):
                if let guest = guests[number] { finish(guest) }
            }
            done += 1
        }
        work.removeAll(keepingCapacity: true)
        isWorking = false
    }

    private func give(_ frame: [UInt8], to guest: Guest) {
        guest.queue.append(frame)
        list(guest)
        guard guest.queue.count > rules.queueLimit else { return }
        push(guest)
        if guest.queue.count > rules.queueLimit { lose(guest) }
    }

    /// As much as the kernel takes now.
    private func push(_ guest: Guest) {
        guard guest.stage == .talking || guest.stage == .leaving else { return }
        while guest.queue.count > 0 {
            let count = guest.queue.front {
                send(guest.socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count >= 0 {
                guest.queue.took(count)
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR {
                return lose(guest)
            }
        }
    }

    private func finish(_ guest: Guest) {
        guard guest.stage == .talking else { return }
        guest.stage = .leaving
        guest.due = monotonicMilliseconds() + House.lingering
        list(guest)
    }

    private func lose(_ guest: Guest) {
        guard guest.stage != .gone else { return }
        let wasTalking = guest.stage == .talking
        guest.stage = .gone
        guest.queue = FrameQueue()
        list(guest)
        if wasTalking { perform(room.leave(guest.number)) }
    }

    private func list(_ guest: Guest) {
        guard !guest.isListed else { return }
        guest.isListed = true
        listed.append(guest)
    }

    /// Until nobody is listed any more.
    private func settle() {
        while let guest = listed.popLast() {
            guest.isListed = false
            push(guest)
            if guest.stage == .leaving && guest.queue.count == 0 {
                shutdown(guest.socket, Int32(SHUT_WR))
                guest.stage = .told
            }
            if guest.stage == .gone || guest.stage == .told && guest.hasEnded {
                // Out of the set first: closed by its last owner it would go by itself, and this says so.
                if guests.removeValue(forKey: guest.number) != nil { close(guest.socket) }
                continue
            }
            let wanted =
                (guest.hasEnded ? 0 : EPOLLIN.rawValue | EPOLLRDHUP.rawValue)
                | (guest.queue.count > 0 ? EPOLLOUT.rawValue : 0)
            guard wanted != guest.interest else { continue }
            guest.interest = wanted
            do { try watch(guest.socket, guest.number, wanted, EPOLL_CTL_MOD) } catch { lose(guest) }
        }
    }

    private func watch(_ socket: Int32, _ number: Int, _ interest: UInt32, _ operation: Int32) throws {
        var event = epoll_event(events: interest, data: epoll_data_t(u64: UInt64(number)))
        try check("epoll_ctl", epoll_ctl(epoll, operation, socket, &event))
    }

    // MARK: Time

    private func timeout() -> Int32 {
        var next = acceptsAgain
        for guest in guests.values {
            if let due = guest.due { next = min(next ?? due, due) }
        }
        guard let next else { return -1 }
        return Int32(clamping: max(0, next - monotonicMilliseconds()))
    }

    private func dropOverdue() {
        let now = monotonicMilliseconds()
        for guest in guests.values.filter({ $0.due.map { $0 <= now } ?? false }) { lose(guest) }
    }
}
