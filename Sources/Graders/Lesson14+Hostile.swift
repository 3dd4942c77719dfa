// Lesson 14: what strangers do to a chat server. Whatever they do, the members go on talking.
import Course
import GraderKit
import Sockets
import Wire

let hostileChatChecks: [Check] = [
    Check("server-bad-messages", suspects: [.nestedTooDeep, .clientEndedServer] + Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let members = try trial.room(server, "ann", "bob")
        let stranger = try trial.visitor(server)
        let withoutContent = Array(#"{"type":"chat"}"#.utf8)
        let utf16: [UInt8] = #"{"type":"logout"}"#.utf8.flatMap { [$0, 0] }
        let bad: [[UInt8]] = [
            Array("hello".utf8), Array("[]".utf8), Array("{".utf8), [0xFF, 0xFE], Array(#"{"type":7}"#.utf8),
            withoutContent, Array(#"{"type":"chat","content":["#.utf8),
            Array(#"{"type":"chat","content":"a"#.utf8) + [0xFF] + Array(#""}"#.utf8),
            Array(#"{"type":"chat","content":"\ud800"}"#.utf8), utf16,
            Array(String(repeating: "[", count: 60_000).utf8), [UInt8](repeating: 0, count: 65_536),
        ]
        for peer in [stranger, members[0]] {
            try peer.stream.send(framed([]))
            do { try peer.expect(.error(.badMessage)) } catch var failure as Failure {
                // Whatever came in its place has another cause.
                failure.cause = failure.cause ?? "empty-frame-passed-over"
                throw failure
            }
            for bytes in bad {
                try peer.stream.send(framed(bytes))
                try peer.expect(.error(.badMessage)) { heard in
                    bytes == utf16
                        ? "utf16-accepted"
                        : heard == .message(.error(.tooLong))
                            ? "longest-frame-refused"
                            : bytes == withoutContent && heard == .message(.error(.notLoggedIn))
                                ? "wrong-field-accepted" : nil
                }
            }
            for json in [#"{"type":"dance"}"#, #"{"type":"dance","content":7}"#] {
                try peer.send(json: json)
                try peer.expect(.error(.unknownType)) { heard in
                    heard == .message(.error(.notLoggedIn)) ? "membership-before-type" : nil
                }
            }
        }
        // What stands behind a mistake in the same segment is there already: nothing will announce it.
        try stranger.stream.send(
            framed(bad[0]) + framed(Array(#"{"type":"dance"}"#.utf8)) + framed(bad[1])
                + framed(writeMessage(.chat(content: "hi"))))
        for problem in [ChatProblem.badMessage, .unknownType, .badMessage, .notLoggedIn] {
            do { try stranger.expect(.error(problem)) } catch var failure as Failure {
                failure.cause = failure.cause ?? "rest-behind-error"
                throw failure
            }
        }
        // Nothing of it has changed anything.
        try members[0].chat("still here")
        for member in members { try member.expect(said(1, "ann", "still here")) }
        try stranger.send(.login(username: "eve"))
        try stranger.expect(.loginResponse(refusal: nil))
        try stranger.expectHistory(said(1, "ann", "still here"))
    },
    Check("server-too-long", suspects: [.clientEndedServer] + Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let ann = try trial.member("ann", server)
        // Exactly as long as may be: white space does not matter.
        let chat = Array(#"{"type":"chat","content":"padded""#.utf8)
        try ann.stream.send(framed(chat + [UInt8](repeating: 0x20, count: 65_535 - chat.count) + Array("}".utf8)))
        try ann.expect(said(1, "ann", "padded")) { heard in
            heard == .message(.error(.tooLong)) ? "longest-frame-refused" : nil
        }
        let beginnings: [[UInt8]] = [
            bigEndianBytes(UInt32(65_537)),
            bigEndianBytes(UInt32(1 << 20)) + Array(#"{"type":"chat","content":""#.utf8),
            [0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0],
            // A client that knows nothing of lengths: its first four bytes are one.
            Array(#"{"type": "login", "username": "test_user", "password": "password123"}"#.utf8),
        ]
        for (index, bytes) in beginnings.enumerated() {
            let stranger = try trial.member("stranger", server, cause: index > 0 ? nameKept : { _ in nil })
            try stranger.expectHistory(said(1, "ann", "padded"))
            try ann.expect(.userJoined(username: "stranger"))
            // The length alone says it: who waits for the rest waits for ever, and keeps what comes.
            try stranger.stream.send(bytes)
            try stranger.expect(.error(.tooLong)) { heard in
                heard == .message(.error(.badMessage)) ? "too-long-taken-for-bad" : nil
            }
            try stranger.expectOver(cause: "reads-behind-too-long")
            do { try ann.expect(.userLeft(username: "stranger")) } catch var failure as Failure {
                if failure.cause == nil { failure.cause = "stays-member-after-too-long" }
                throw failure
            }
            stranger.stream.close()
            trial.note(say("\(index + 1) of \(beginnings.count)", "第 \(index + 1) 种，共 \(beginnings.count) 种"))
        }
        try ann.chat("still here")
        try ann.expect(said(2, "ann", "still here"))
    },
    Check("server-strangers", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let first = try trial.member("ann", server)
        let login = framed(writeMessage(.login(username: "eve")))
        // Silent, a part of a length, a part of a frame; none of them is a member, and none is waited for.
        let silent = try (0..<10).map { _ in try trial.visitor(server) }
        let partial = try [1, 3, 4, 10].map { count in
            let peer = try trial.visitor(server)
            try peer.stream.send(Array(login.prefix(count)))
            return (peer, count)
        }
        let second = try trial.member("bob", server)
        try first.expect(.userJoined(username: "bob"))
        for number in 1...5 {
            try second.chat("\(number)")
            for member in [first, second] { try member.expect(said(number, "bob", "\(number)")) }
        }
        let (half, count) = partial[3]
        try half.stream.send(Array(login.dropFirst(count)))
        try half.expect(.loginResponse(refusal: nil))
        for number in 1...5 { try half.expectHistory(said(number, "bob", "\(number)")) }
        // Who is not a member hears nothing.
        try silent[0].expectNothingBefore { heard in
            switch heard {
            case .message(.chatMessage), .message(.userJoined), .message(.userLeft): "strangers-hear"
            default: nil
            }
        }
    },
    Check("server-impatient", suspects: [.leftOpen] + Cause.chatRoom) { trial in
        // With nobody there whose words could wake the server.
        let quiet = try trial.serve("chat-server-impatient")
        try trial.visitor(quiet).expectDropped(cause: "strangers-kept")
        let server = try trial.serve("chat-server-impatient")
        let member = try trial.member("ann", server)
        let strangers = try (0..<3).map { _ in try trial.visitor(server) }
        try strangers[1].send(.chat(content: "hi"))
        try strangers[1].expect(.error(.notLoggedIn))
        try strangers[2].send(.login(username: "ann"))
        try strangers[2].expect(.loginResponse(refusal: .nameTaken))
        // To go on talking is no login either.
        try strangers[1].expectDropped(whileSaying: .chat(content: "hi"), cause: "strangers-kept")
        for stranger in strangers { try stranger.expectDropped(cause: "strangers-kept") }
        // A member may be silent as long as it likes.
        try member.chat("still here")
        try member.expect(said(1, "ann", "still here"))
    },
    Check("server-flood", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let (ann, bob) = (try trial.member("ann", server), try trial.member("bob", server))
        try ann.expect(.userJoined(username: "bob"))
        let count = 2000
        // All at once, and read afterwards: less than the server must keep for a member.
        try bob.stream.send((1...count).flatMap { framed(writeMessage(.chat(content: "\($0)"))) })
        for number in 1...count {
            for member in [ann, bob] { try member.expect(said(number, "bob", "\(number)")) }
        }
        // And one that asks and asks, and never reads.
        let before = server.subject.peakMemory
        let deaf = try trial.visitor(server, smallBuffers: true)
        let question = framed(Array(#"{"type":"dance"}"#.utf8))
        let flood = repeatElement(question, count: 50_000).flatMap { $0 }
        var sent = 0
        for number in 1...50 {
            // It may be dropped for it, or held up; neither is anybody else's business.
            do { sent += try deaf.stream.sendWhatFits(Array(flood[min(sent, flood.count)...])) } catch is Failure {
                sent = flood.count
            }
            try ann.chat("between \(number)")
            for member in [ann, bob] { try member.expect(said(count + number, "ann", "between \(number)")) }
        }
        let grown = (server.subject.peakMemory - before) >> 20
        guard grown < 16 else {
            throw Failure(
                expected: say(
                    "less than 16 MB more while somebody asks and never reads", "有人只问不读时，多用的内存少于 16 MB"),
                got: say("\(grown) MB more", "多用了 \(grown) MB"), cause: "answers-kept-for-deaf")
        }
    },
]
