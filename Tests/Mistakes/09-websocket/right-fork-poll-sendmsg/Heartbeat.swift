import Course
import Sockets

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    let server = try PollServer(host, port)
    let (interval, timeout) = (Int(heartbeat.interval), Int(heartbeat.timeout))
    server.onMessage = { [unowned server] guest, opcode, payload in server.put(guest, encodeFrame(opcode, payload)) }
    server.onJoin = { $0.nextPing = clockMS() + interval }
    server.onPong = { guest, payload in
        if let found = guest.pings.lastIndex(where: { $0.payload == payload }) { guest.pings.removeFirst(found + 1) }
    }
    server.onTime = { [unowned server] in
        let now = clockMS()
        var next: Int?
        for guest in server.guests where guest.isMember {
            if let first = guest.pings.first, first.deadline <= now {
                guest.dead = true
                continue
            }
            if guest.nextPing <= now {
                guest.counter += 1
                let payload = withUnsafeBytes(of: guest.counter.bigEndian) { Array($0) }
                server.put(guest, encodeFrame(.ping, payload))
                server.flushNow(guest)
                guest.pings.append((payload, now + timeout))
                guest.nextPing += interval
            }
            next = min(next ?? .max, guest.nextPing, guest.pings.first?.deadline ?? .max)
        }
        return next
    }
    try server.run()
}
