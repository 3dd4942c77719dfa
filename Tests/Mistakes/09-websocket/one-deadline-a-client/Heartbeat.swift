import Course
import Sockets

private final class Pulse {
    let guest: Guest
    var nextPing: Int
    /// The numbers of the last ping, and of the last one that was answered.
    var sent: UInt32
    var answered: UInt32
    /// By then an answer has to be here. Nil: none is owed.
    var due: Int?

    init(_ guest: Guest, firstPing: Int) {
        self.guest = guest
        nextPing = firstPing
        sent = UInt32.random(in: 1...0x0FFF_FFFF)
        answered = sent
    }
}

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    let rounds = try Rounds(host: host, port: port)
    var pulses: [ObjectIdentifier: Pulse] = [:]

    rounds.onJoin = { guest in
        pulses[ObjectIdentifier(guest)] = Pulse(guest, firstPing: Rounds.clock + heartbeat.interval)
    }
    rounds.onGone = { guest in pulses.removeValue(forKey: ObjectIdentifier(guest)) }

    rounds.onEvent = { guest, event in
        switch event {
        case .text(let message): guest.say(encodeFrame(.text, message))
        case .binary(let message): guest.say(encodeFrame(.binary, message))
        case .pong(let payload):
            guard let pulse = pulses[ObjectIdentifier(guest)], let number = UInt32(payload) else { return }
            // The ping with this number is answered, and those before it.
            if number > pulse.answered && number <= pulse.sent {
                pulse.answered = number
                pulse.due = nil
            }
        default: break
        }
    }

    rounds.alarm = {
        pulses.values.flatMap { pulse in
            [pulse.due, pulse.guest.phase == .talking ? pulse.nextPing : nil].compactMap { $0 }
        }.min()
    }
    rounds.onRing = { [unowned rounds] now in
        for pulse in Array(pulses.values) {
            if let due = pulse.due, due <= now {
                rounds.drop(pulse.guest)
                continue
            }
            guard pulse.nextPing <= now, pulse.guest.phase == .talking else { continue }
            pulse.sent += 1
            pulse.guest.say(encodeFrame(.ping, pulse.sent.bytes))
            pulse.nextPing = now + heartbeat.interval
            // If an older one is open, its time is over first.
            if pulse.due == nil { pulse.due = now + heartbeat.timeout }
        }
    }
    try rounds.run()
}

extension UInt32 {
    fileprivate init?(_ bytes: [UInt8]) {
        guard bytes.count == 4 else { return nil }
        self = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    fileprivate var bytes: [UInt8] { withUnsafeBytes(of: bigEndian) { [UInt8]($0) } }
}
