// What every server for many clients at once must do, however it does it. Described under `tcp-…` in Lessons/common.json.
//
// Clients speak in the reverse of the order that they connected in: a server that takes one after another would pass
// otherwise, out of the queue of accept.
import Course
import GraderKit
import Sockets
import Wire

/// - Parameter clients: how many there are at once in `…-many`.
/// - Parameter suspects: mistakes that only a server of this kind can make.
public func concurrentServerChecks(
    _ entry: String, prefix: String, exchange: Exchange, clients count: Int, suspects: [Cause] = []
) -> [Check] {
    [
        Check("\(prefix)-two-clients", suspects: suspects + Cause.streamServer) { trial in
            let server = try trial.serve(entry)
            let first = try server.connect()
            let second = try server.connect()
            let third = try server.connect()
            for client in [third, second, first] { try exchange.run(client) }
            // One leaves, two stay, another comes.
            first.halfClose()
            try exchange.expectEnd(first)
            let fourth = try server.connect()
            for client in [fourth, second] { try exchange.run(client) }
        },
        Check("\(prefix)-many", suspects: suspects + Cause.streamServer) { trial in
            let server = try trial.serve(entry)
            let clients = try (0..<count).map { _ in try server.connect() }
            // All ask before anyone looks for its answer: a server that has little patience is not kept waiting by us.
            for client in clients.reversed() {
                try exchange.beginConnection(client)
                try client.send(exchange.question)
            }
            for client in clients.reversed() { try exchange.expectAnswer(client) }
            for client in clients {
                client.halfClose()
                try exchange.expectEnd(client)
            }
        },
        Check("\(prefix)-deaf-client", suspects: [.oneWriter] + suspects + [.blockedInSend] + Cause.streamServer) {
            trial in
            let questions = exchange.questions(1_000_000)
            let server = try trial.serve(entry)
            let deaf = try server.connect(smallBuffers: true)
            try exchange.beginConnection(deaf)
            _ = try deaf.sendUntilStuck(questions)
            let other = try server.connect()
            // Until a send to the deaf client has stood still while the other one was answered, again and again.
            for _ in 0..<100 {
                let before = server.subject.timeline.heldUpSend
                for _ in 0..<5 { try exchange.run(other) }
                if let before, before == server.subject.timeline.heldUpSend { break }
            }
        },
    ]
}

extension Timeline {
    /// When the last send began that could not send all: it is blocked, or came back short, or with EAGAIN.
    var heldUpSend: UInt64? {
        calls.last { call in
            call.isSend && (call.isBlocked || call.error == EAGAIN || call.result > 0 && call.result < call.length)
        }?.entered
    }
}
