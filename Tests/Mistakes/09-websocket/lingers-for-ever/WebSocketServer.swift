import Course
import Sockets

/// One client of a `WebSocketServer`.
final class Member {
    let descriptor: Int32
    fileprivate(set) var connection: Connection
    fileprivate var interest = Poller.Interest(reading: true, writing: false)
    /// It has something to send, or has ended: looked at when the events of this round are done.
    fileprivate var isTouched = false
    /// No more comes from it.
    fileprivate var hasEnded = false
    /// We have said that no more comes from us (shutdown(2)).
    fileprivate var isHalfClosed = false
    fileprivate var isBroken = false
    fileprivate var isDue = false

    fileprivate init(_ descriptor: Int32, _ connection: Connection) {
        self.descriptor = descriptor
        self.connection = connection
    }

    /// The handshake is done, and nobody has said close.
    var isOpen: Bool { connection.state == .open }
    /// What waits for the kernel to take it.
    var pending: Int { connection.output.count }

    /// From a client that does not read its answers nothing more is read: its own send has to wait then. At most one
    /// message, and what a receive brought, is kept for it.
    fileprivate var wantsToReceive: Bool { !hasEnded && (isHalfClosed || connection.output.count < 65_536) }
    fileprivate var wantsToSend: Bool { !connection.output.isEmpty }
}

/// WebSocket for many clients in one thread: the level-triggered loop of lesson 07 around a `Connection` for each.
///
/// All answers to what one receive brought go out in one send. Two would be two packets, and the second might wait for the
/// acknowledgement of the first (Nagle).
final class WebSocketServer {
    /// A text, a binary message or a pong of a member whose handshake is done.
    var onEvent: (Member, WebSocketEvent) -> Void = { _, _ in }
    /// The handshake of a member is done.
    var onOpen: (Member) -> Void = { _ in }
    /// Called once when `nextTime` has come; what it sets `nextTime` to is waited for next.
    var onTime: () -> Void = {}
    /// As `monotonicMilliseconds` counts; nil: never.
    var nextTime: Milliseconds?
    private(set) var members: [Int32: Member] = [:]

    private let listener: Int32
    private var poller: Poller
    /// What every member begins with.
    private let newConnection: Connection
    private var touched: [Member] = []
    private var hasRoom = true
    /// Who was told to close, and until when it may take its time; in the order of time.
    private var ending: [(member: Member, deadline: Milliseconds)] = []
    /// Who has just come, and until when the handshake may take; in the order of time.
    private var arriving: [(member: Member, deadline: Milliseconds)] = []
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    /// How long a peer may take to close when we have.
    private static let patience: Milliseconds = 2000
    /// How long a peer may take over its handshake. Until then it is nobody, and costs a descriptor.
    private static let handshakePatience: Milliseconds = 10_000

    init(host: String, port: UInt16, connection: Connection = Connection()) throws {
        newConnection = connection
        listener = try makeListener(host: host, port: port)
        do {
            poller = try Poller()
            try poller.add(listener, .init(reading: true, writing: false))
        } catch {
            Sockets.close(listener)
            throw error
        }
    }

    deinit {
        for descriptor in members.keys { Sockets.close(descriptor) }
        Sockets.close(poller.descriptor)
        Sockets.close(listener)
    }

    func run() throws -> Never {
        while true { try runOnce() }
    }

    // MARK: For those who answer

    func send(_ opcode: Opcode, _ payload: [UInt8], to member: Member) {
        member.connection.send(opcode, payload)
        touch(member)
    }

    /// - Parameter frame: encoded already: one for many.
    func send(frame: [UInt8], to member: Member) {
        member.connection.send(frame: frame)
        touch(member)
    }

    /// Sends at once what the kernel takes, and does not wait for the end of the round.
    func flush(_ member: Member) {
        if member.wantsToSend && !member.isBroken { send(to: member) }
    }

    func close(_ member: Member, code: UInt16, reason: String) {
        member.connection.close(code: code, reason: reason)
        touch(member)
    }

    // MARK: The loop

    private func runOnce() throws {
        var someoneWaits = !hasRoom
        for event in try poller.wait(timeout: untilNextIsDue) {
            if event.descriptor == listener {
                someoneWaits = true
            } else if let member = members[event.descriptor] {
                if event.canRead && member.wantsToReceive { receive(from: member) }
                touch(member)
            }
        }
        endOverdue()
        if let time = nextTime, time <= monotonicMilliseconds() {
            nextTime = nil
            onTime()
        }
        for member in touched {
            member.isTouched = false
            try settle(member)
        }
        touched.removeAll(keepingCapacity: true)
        // Accepted last, as in lesson 07: a number that was just given back is not handed out while events for its former
        // owner are still in the list.
        if someoneWaits { try acceptMembers() }
    }

    private func touch(_ member: Member) {
        guard !member.isTouched else { return }
        member.isTouched = true
        touched.append(member)
    }

    private func receive(from member: Member) {
        let count = recv(member.descriptor, &buffer, buffer.count, 0)
        if count < 0 {
            // A reset: nothing that we could say would arrive.
            if errno != EINTR && errno != EAGAIN { (member.hasEnded, member.isBroken) = (true, true) }
            return
        }
        if count == 0 {
            member.hasEnded = true
            member.connection.peerHasEnded()
            return
        }
        // When all is said, what still comes is only taken off the wire.
        guard member.connection.state != .finished else { return }
        let wasOpen = member.isOpen
        member.connection.feed(Array(buffer[..<count]))
        if !wasOpen && member.isOpen { onOpen(member) }
        while let event = member.connection.nextEvent() { onEvent(member, event) }
    }

    /// Sends what there is to be sent; closes who is finished; asks for just what is needed next.
    private func settle(_ member: Member) throws {
        guard members[member.descriptor] === member else { return }
        if member.wantsToSend && !member.isBroken { send(to: member) }
        let isSilent = member.connection.state == .finished && !member.wantsToSend
        if member.isBroken || isSilent && member.hasEnded { return remove(member) }
        if isSilent && !member.isHalfClosed {
            // Not yet close(2): bytes that are still on their way would be answered by a reset, and a reset takes from the
            // peer what it has not read yet, our close frame for one.
            member.isHalfClosed = true
            shutdown(member.descriptor, SHUT_WR)
        }
        let interest = Poller.Interest(reading: member.wantsToReceive, writing: member.wantsToSend)
        if member.interest != interest {
            try poller.change(member.descriptor, interest)
            member.interest = interest
        }
    }

    private func send(to member: Member) {
        let count = member.connection.output.withUnsafeBytes {
            Sockets.send(member.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
        }
        if count >= 0 {
            member.connection.hasSent(count)
        } else if errno != EINTR && errno != EAGAIN {
            member.isBroken = true
        }
    }

    func remove(_ member: Member) {
        guard members[member.descriptor] === member else { return }
        members[member.descriptor] = nil
        Sockets.close(member.descriptor)
    }

    // MARK: Peers that do not close

    private func giveTime(to member: Member) {
        guard !member.isDue else { return }
        member.isDue = true
        ending.append((member, monotonicMilliseconds() + WebSocketServer.patience))
    }

    private var untilNextIsDue: Int? {
        let next = [ending.first?.deadline, arriving.first?.deadline, nextTime].compactMap { $0 }.min()
        let wait = next.map { max(0, $0 - monotonicMilliseconds()) }
        // Without room for another client the listener is not watched: it is tried again when one has left, or soon.
        return hasRoom ? wait : min(wait ?? 100, 100)
    }

    private func endOverdue() {
        guard !ending.isEmpty || !arriving.isEmpty else { return }
        let now = monotonicMilliseconds()
        end(&ending, at: now) { _ in true }
        end(&arriving, at: now) { $0.connection.state == .handshake }
    }

    /// - Parameter isLate: of a member whose time is over; others are forgotten.
    private func end(
        _ queue: inout [(member: Member, deadline: Milliseconds)], at now: Milliseconds, if isLate: (Member) -> Bool
    ) {
        func isAwaited(_ member: Member) -> Bool { members[member.descriptor] === member && isLate(member) }
        let over = queue.prefix { $0.deadline <= now || !isAwaited($0.member) }
        for (member, _) in over where isAwaited(member) { remove(member) }
        queue.removeFirst(over.count)
    }

    // MARK: Accepting

    private func acceptMembers() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor):
                try poller.add(descriptor, .init(reading: true, writing: false))
                let member = Member(descriptor, newConnection)
                members[descriptor] = member
                arriving.append((member, monotonicMilliseconds() + WebSocketServer.handshakePatience))
            case .nobody: return try setRoom(true)
            case .noRoom: return try setRoom(false)
            }
        }
    }

    private func setRoom(_ room: Bool) throws {
        if hasRoom != room { try poller.change(listener, .init(reading: room, writing: false)) }
        hasRoom = room
    }
}

/// A clock that nobody sets: differences are time.
func monotonicMilliseconds() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
