// Grader of lesson 03: UDP. Each check reads as the sentence that it checks; lesson.json describes it under the same id.
import Course
import GraderKit
import Sockets
import Wire

let lesson03 = LessonGrader(
    slug: Lesson03.slug,
    checks: [
        Check("uppercase-answers", suspects: [.repliedWithLongerBuffer]) { trial in
            let server = try trial.serve("uppercase-server")
            let client = try server.datagramClient()
            for _ in 0..<3 {
                let message = trial.random.letters(20) + [0, 0xff, 0xc3, 0xa9]
                try client.send(message)
                try client.expect(uppercased(message))
            }
        },
        Check("uppercase-port") { trial in
            let (server, port) = try trial.serveOnChosenPort("uppercase-server", SOCK_DGRAM)
            try trial.expect(server.address.port, equals: port, say("the port it serves", "服务的端口"))
            let client = try server.datagramClient()
            try client.send("port")
            try client.expect("PORT")
        },
        Check("uppercase-eintr") { trial in
            let server = try trial.serve("uppercase-server", plan: .fail(.receive, 1, through: 3, with: EINTR))
            let client = try server.datagramClient()
            try client.send("again")
            try client.expect("AGAIN")
        },
        Check("uppercase-two-clients", suspects: [.repliesToFirstClient]) { trial in
            let server = try trial.serve("uppercase-server")
            let first = try server.datagramClient()
            let second = try server.datagramClient()
            try first.send("first")
            try first.expect("FIRST")
            try second.send("second")
            try second.expect("SECOND")
        },
    ])

extension Cause {
    /// sendto was given the buffer's length, not the datagram's.
    static let repliedWithLongerBuffer = Cause("sent-whole-buffer") { evidence in
        guard let received = evidence.timeline.calls.last(where: { $0.isReceive && $0.result >= 0 }),
            let sent = evidence.timeline.calls.last(where: { $0.isSend }), sent.length > Int(received.result)
        else { return nil }
        return say(
            "it received \(received.result) bytes and sent \(sent.length)",
            "收到 \(received.result) 字节，却发送了 \(sent.length) 字节")
    }

    static let repliesToFirstClient = Cause("replies-to-first-client") { evidence in
        guard let received = evidence.timeline.calls.last(where: { $0.isReceive && $0.result >= 0 })?.found,
            let sent = evidence.timeline.calls.last(where: { $0.isSend })?.given, received != sent
        else { return nil }
        return say("the datagram came from \(received), the answer went to \(sent)", "数据报来自 \(received)，回答却发给了 \(sent)")
    }
}
