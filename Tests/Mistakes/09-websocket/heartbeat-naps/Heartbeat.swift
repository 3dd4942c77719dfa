import Course
import Sockets

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    let server = try WebSocketServer(host: host, port: port)
    let pulse = Pulse(server, heartbeat)
    server.onOpen = { pulse.begin($0) }
    server.onTime = { [unowned server] in
        pulse.beat()
        server.nextTime = pulse.nextTime
    }
    server.onEvent = { [unowned server] member, event in
        switch event {
        case .text(let bytes): server.send(.text, bytes, to: member)
        case .binary(let bytes): server.send(.binary, bytes, to: member)
        case .pong(let payload): pulse.heard(payload, from: member)
        default: break
        }
    }
    try server.run()
}

/// Who is pinged when, and who owes a pong.
///
/// Both times are the same for all clients, so two plain queues hold what is to be done in the order of time: no timer for
/// each client, and nothing is searched.
private final class Pulse {
    private unowned let server: WebSocketServer
    private let heartbeat: Heartbeat
    private var pings = Queue<Member>()
    private var deadlines = Queue<(member: Member, number: UInt64)>()
    /// The numbers of a client's last ping, and of the last that it has answered.
    private var numbers: [Int32: (member: Member, sent: UInt64, answered: UInt64)] = [:]

    init(_ server: WebSocketServer, _ heartbeat: Heartbeat) {
        self.server = server
        self.heartbeat = heartbeat
    }

    var nextTime: Milliseconds? { monotonicMilliseconds() + 5 }

    func begin(_ member: Member) {
        // From a number that nobody can guess: a pong to a ping that was never sent is no sign of life.
        let number = UInt64.random(in: 0..<1 << 62)
        numbers[member.descriptor] = (member, number, number)
        pings.add(member, at: monotonicMilliseconds() + heartbeat.interval)
        server.nextTime = nextTime
    }

    func heard(_ payload: [UInt8], from member: Member) {
        guard let entry = numbers[member.descriptor], entry.member === member, payload.count == 8 else { return }
        let number = payload.reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        // The pong to a ping answers those before it. One that belongs to no ping of ours is allowed, and means nothing.
        guard number > entry.answered, number <= entry.sent else { return }
        numbers[member.descriptor]?.answered = number
    }

    func beat() {
        let now = monotonicMilliseconds()
        while let (member, number) = deadlines.removeDue(now) {
            guard let entry = entry(of: member), entry.answered < number else { continue }
            // Nobody is there to hear a close frame.
            server.remove(member)
            numbers[member.descriptor] = nil
        }
        while let member = pings.removeDue(now) {
            guard let entry = entry(of: member), member.isOpen else { continue }
            let number = entry.sent + 1
            numbers[member.descriptor]?.sent = number
            server.send(.ping, withUnsafeBytes(of: number.bigEndian, Array.init), to: member)
            deadlines.add((member, number), at: now + heartbeat.timeout)
            pings.add(member, at: now + heartbeat.interval)
        }
    }

    /// Nil for a client that has left; its number may be another's now.
    private func entry(of member: Member) -> (member: Member, sent: UInt64, answered: UInt64)? {
        guard let entry = numbers[member.descriptor], entry.member === member else { return nil }
        if server.members[member.descriptor] === member { return entry }
        numbers[member.descriptor] = nil
        return nil
    }
}

/// What is added later is due later.
private struct Queue<Element> {
    private var entries: [(element: Element, time: Milliseconds)] = []
    private var first = 0

    var nextTime: Milliseconds? { first < entries.count ? entries[first].time : nil }

    mutating func add(_ element: Element, at time: Milliseconds) { entries.append((element, time)) }

    mutating func removeDue(_ now: Milliseconds) -> Element? {
        guard first < entries.count, entries[first].time <= now else { return nil }
        first += 1
        defer {
            // The part that is done with is cut off now and then, not each time: that would move the rest each time.
            if first == entries.count || first > 1024 && first * 2 > entries.count {
                entries.removeFirst(first)
                first = 0
            }
        }
        return entries[first - 1].element
    }
}
