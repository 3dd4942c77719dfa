import Course
import Sockets

func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    try answerCallers(host: host, port: port) { HeartCaller($0, heartbeat) }
}

/// Each client has its own thread, and so its own little list of pings that wait for their pong.
private final class HeartCaller: Caller, @unchecked Sendable {
    private let heartbeat: Heartbeat
    private var nextPing = 0
    private var waiting: [(payload: [UInt8], deadline: Milliseconds)] = []
    private var number = UInt32.random(in: 0...0xFFFF)

    init(_ socket: Int32, _ heartbeat: Heartbeat) {
        self.heartbeat = heartbeat
        super.init(socket)
    }

    override func opened() { nextPing = monotonicMilliseconds() + heartbeat.interval }

    override var nextTime: Milliseconds? { min(nextPing, waiting.first?.deadline ?? .max) }

    override func timeHasCome(_ now: Milliseconds) -> Bool {
        if let first = waiting.first, first.deadline <= now { return false }
        if nextPing <= now {
            number += 1
            let payload = Array("beat \(number)".utf8)
            waiting.append((payload, now + heartbeat.timeout))
            nextPing = now + heartbeat.interval
            reply(.ping, payload)
        }
        return true
    }

    override func heard(_ event: WebSocketEvent) {
        switch event {
        case .text(let bytes): reply(.text, bytes)
        case .binary(let bytes): reply(.binary, bytes)
        case .pong(let payload):
            // It answers its ping, and all before that.
            if let index = waiting.firstIndex(where: { $0.payload == payload }) { waiting.removeFirst(index + 1) }
        default: break
        }
    }
}
