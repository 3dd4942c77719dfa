import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var poller = try Poller()
    defer { close(poller.descriptor) }
    try poller.add(listener, .init(reading: true, writing: false))

    var sessions: [Int32: Session] = [:]
    defer { sessions.keys.forEach { _ = close($0) } }
    var wheel = Wheel(timeout: timeout)
    var buffer = makeReceiveBuffer()
    var isFull = false

    while true {
        let now = monotonicMilliseconds()
        var pause = wheel.pause(now: now)
        if isFull { pause = min(pause ?? 100, 100) }
        var isKnocking = isFull
        for event in try poller.wait(timeout: pause) {
            if event.descriptor == listener {
                isKnocking = true
                continue
            }
            guard let session = sessions[event.descriptor] else { continue }
            let client = session.client
            if event.canRead && client.wantsToReceive {
                if client.receive(from: event.descriptor, using: &buffer) {
                    wheel.put(session, now: monotonicMilliseconds())
                }
            }
            if client.wantsToSend { _ = client.send(to: event.descriptor) }
            if client.isFinished {
                wheel.remove(session)
                sessions[event.descriptor] = nil
                close(event.descriptor)
                continue
            }
            let wish = Poller.Interest(reading: client.wantsToReceive, writing: client.wantsToSend)
            if wish != client.interest {
                try poller.change(event.descriptor, wish)
                client.interest = wish
            }
        }
        for session in wheel.turn(now: monotonicMilliseconds()) {
            sessions[session.descriptor] = nil
            close(session.descriptor)
        }
        while isKnocking {
            switch try acceptClient(listener) {
            case .client(let descriptor):
                let session = Session(descriptor)
                sessions[descriptor] = session
                try poller.add(descriptor, session.client.interest)
                wheel.put(session, now: monotonicMilliseconds())
            case .nobody:
                if isFull { try poller.change(listener, .init(reading: true, writing: false)) }
                (isFull, isKnocking) = (false, false)
            case .noRoom:
                if !isFull { try poller.change(listener, .init(reading: false, writing: false)) }
                (isFull, isKnocking) = (true, false)
            }
        }
    }
}

private final class Session: Hashable {
    let descriptor: Int32
    let client = Client()
    /// The tick with which its time is over.
    var tick = 0

    init(_ descriptor: Int32) { self.descriptor = descriptor }
    static func == (a: Session, b: Session) -> Bool { a === b }
    func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A wheel that goes on by one slot with each tick, three to a timeout. Who is heard is put into the slot that comes up three
/// ticks from now; whoever is in the slot that has come up has been silent. Nothing is ever searched or sorted.
private struct Wheel {
    private static let ticks = 3
    private let length: Int
    private var slots = [Set<Session>](repeating: [], count: Wheel.ticks + 1)
    private var reached = 0
    private var inside = 0

    init(timeout: Milliseconds) { length = max(1, Int(timeout) / Wheel.ticks) }

    mutating func put(_ session: Session, now: Int) {
        if inside == 0 { reached = now / length }
        remove(session)
        session.tick = now / length + Wheel.ticks
        slots[session.tick % slots.count].insert(session)
        inside += 1
    }

    mutating func remove(_ session: Session) {
        if slots[session.tick % slots.count].remove(session) != nil { inside -= 1 }
    }

    /// Until the next tick; nil while the wheel is empty.
    func pause(now: Int) -> Int? { inside == 0 ? nil : max(0, (reached + 1) * length - now) }

    mutating func turn(now: Int) -> [Session] {
        var silent: [Session] = []
        while inside > 0, reached < now / length {
            reached += 1
            let slot = reached % slots.count
            let due = slots[slot].filter { $0.tick <= reached }
            slots[slot].subtract(due)
            inside -= due.count
            silent += due
        }
        return silent
    }
}

/// CLOCK_MONOTONIC, in milliseconds.
func monotonicMilliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
