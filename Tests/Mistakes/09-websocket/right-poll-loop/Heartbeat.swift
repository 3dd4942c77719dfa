import Course
import Sockets

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    try House(host: host, port: port, Nurse(heartbeat)).keepOpen()
}

private final class Nurse: Manners {
    private struct Chart {
        let guest: Guest
        var nextPing: Milliseconds
        var number: UInt8 = 0
        var open: [(number: UInt8, deadline: Milliseconds)] = []
        /// So that nobody can guess the payload.
        let salt = UInt64.random(in: .min ... .max)

        var next: Milliseconds { min(nextPing, open.first?.deadline ?? .max) }
        func payload(_ number: UInt8) -> [UInt8] { [number] + withUnsafeBytes(of: salt, Array.init) }
    }

    private let heartbeat: Heartbeat
    private var charts: [ObjectIdentifier: Chart] = [:]

    init(_ heartbeat: Heartbeat) { self.heartbeat = heartbeat }

    func welcome(_ guest: Guest, _ now: Milliseconds) {
        charts[ObjectIdentifier(guest)] = Chart(guest: guest, nextPing: now + heartbeat.interval)
    }

    func goodbye(_ guest: Guest) { charts[ObjectIdentifier(guest)] = nil }

    func hear(_ event: WebSocketEvent, from guest: Guest, among guests: [Guest]) {
        guest.echo(event)
        guard case .pong(let payload) = event, let chart = charts[ObjectIdentifier(guest)] else { return }
        guard let index = chart.open.firstIndex(where: { chart.payload($0.number) == payload }) else { return }
        charts[ObjectIdentifier(guest)]?.open.removeFirst(index + 1)
    }

    var nextTick: Milliseconds? { charts.values.map(\.next).min() }

    func tick(_ now: Milliseconds) {
        for (key, old) in charts where old.next <= now {
            guard old.guest.isTalking else {
                charts[key] = nil
                continue
            }
            var chart = old
            if let first = chart.open.first, first.deadline <= now {
                chart.guest.die()
                charts[key] = nil
                continue
            }
            chart.nextPing = now + heartbeat.interval
            chart.number &+= 1
            chart.open.append((chart.number, now + heartbeat.timeout))
            chart.guest.say(encodeFrame(.ping, chart.payload(chart.number)))
            charts[key] = chart
        }
    }
}
