// Lesson 14: the chat server, talked to by raw connections of the grader's.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

let chatServer14 = "chat-server"

let chatServerOfLesson14Checks: [Check] =
    talkChecks + hostileChatChecks + crowdChatChecks
    + concurrentServerChecks(chatServer14, prefix: "server", exchange: refusedChat, clients: 50)
    + streamServerChecks(
        chatServer14, prefix: "server", exchange: refusedChat, suspects: [.goodbyeNotReadOut, .pendingDroppedAtEnd])

/// What a server answers to one who has not logged in. The question is longer than the answer: who asks and never reads
/// does not make the server's queue for it too long.
private let refusedChat = Exchange(
    question: framed(writeMessage(.chat(content: String(repeating: "hello ", count: 170))))
) { client in
    let expected = say("error not_logged_in on \(client.name)", "\(client.name)收到 error not_logged_in")
    let length = try client.receiveExactly(4, expected).reduce(0) { $0 << 8 | Int($1) }
    guard length <= Lesson14.frameLimit else {
        throw Failure(expected: expected, got: say("a length of \(length)", "长度 \(length)"))
    }
    let heard = Heard(try client.receiveExactly(length, expected))
    guard heard == .message(.error(.notLoggedIn)) else { throw Failure(expected: expected, got: heard.text) }
}

extension StreamPeer {
    fileprivate func receiveExactly(_ count: Int, _ expected: String) throws -> [UInt8] {
        var got: [UInt8] = []
        while got.count < count {
            switch try receive(count - got.count, until: Deadline(), expected: expected) {
            case .bytes(let bytes): got += bytes
            case .end:
                throw Failure(
                    expected: expected,
                    got: say(
                        "the connection was closed after \(byteCount(got.count))", "收到 \(byteCount(got.count))后连接被关闭"))
            case .broken(let code):
                throw Failure(expected: expected, got: say("the connection was broken: ", "连接断开：") + errorText(code))
            case .late:
                throw Failure(
                    expected: expected,
                    got: got.isEmpty ? say("nothing", "什么也没有") : say("only ", "只有 ") + hexText(got))
            }
        }
        return got
    }
}

private let talkChecks: [Check] = [
    Check("server-conversation", suspects: [.resetAtClose] + Cause.chatRoom) { trial in
        try trial.converse(with: try trial.serve(chatServer14))
    },
    Check("server-cut", suspects: [.resetAtClose] + Cause.chatRoom) { trial in
        for plan in [FaultPlan.most(1, each: .receive), .most(3, each: .send), .most(5, each: .receive)] {
            try trial.converse(with: try trial.serve(chatServer14, plan: plan))
        }
    },
    Check("server-pipelined", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let witness = try trial.member("eve", server)
        let hasty = try trial.visitor(server)
        // All in one segment; what stands behind the logout is not looked at.
        try hasty.send(
            .login(username: "ann"), .chat(content: "one"), .chat(content: "two"), .logout, .chat(content: "three"),
            .login(username: "bob"))
        try hasty.expect(.loginResponse(refusal: nil))
        try hasty.expectOwn(said(1, "ann", "one"), said(2, "ann", "two"), heardBy: witness)
        try hasty.expect(.logoutResponse)
        try hasty.expectOver(cause: "reads-behind-logout")
        try witness.expect(
            .userJoined(username: "ann"), said(1, "ann", "one"), said(2, "ann", "two"), .userLeft(username: "ann"))
        try witness.expectNothingBefore { heard in
            switch heard {
            case .message(.chatMessage), .message(.userJoined): "reads-behind-logout"
            default: nil
            }
        }
    },
    Check("server-end-of-stream", suspects: [.resetAtClose, .goodbyeNotReadOut, .pendingDroppedAtEnd] + Cause.chatRoom)
    { trial in
        let server = try trial.serve(chatServer14)
        let witness = try trial.member("eve", server)
        let brief = try trial.visitor(server)
        try brief.send(.login(username: "ann"), .chat(content: "one"), .chat(content: "two"))
        brief.stream.halfClose()
        try brief.expect(.loginResponse(refusal: nil))
        try brief.expectOwn(said(1, "ann", "one"), said(2, "ann", "two"), heardBy: witness)
        try brief.expectEnd(reset: nil)
        try witness.expect(
            .userJoined(username: "ann"), said(1, "ann", "one"), said(2, "ann", "two"), .userLeft(username: "ann"))
    },
    Check("server-errors", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let ann = try trial.member("ann", server)
        let bob = try trial.visitor(server)
        try bob.send(
            .chat(content: "hi"), .logout, .login(username: "ann"), .login(username: "a b"), .login(username: ""),
            .userJoined(username: "ann"), .login(username: "bob"), .login(username: "bobby"), .login(username: "ann"),
            .chat(content: ""), .chat(content: String(repeating: "x", count: 4097)), said(9, "ann", "I am ann"),
            .chat(content: "hi"))
        try bob.expect(
            .error(.notLoggedIn), .error(.notLoggedIn), .loginResponse(refusal: .nameTaken),
            .loginResponse(refusal: .badName), .loginResponse(refusal: .badName), .error(.unknownType),
            .loginResponse(refusal: nil), .error(.alreadyLoggedIn), .error(.alreadyLoggedIn), .error(.badContent),
            .error(.badContent), .error(.unknownType)
        ) { heard in
            switch heard {
            case .message(.userJoined(username: "ann")): return "client-believed"
            case .message(.chatMessage(let line)) where line.content == "I am ann": return "client-believed"
            default: return nil
            }
        }
        do { try bob.expectOwn(said(1, "bob", "hi"), heardBy: ann) } catch var failure as Failure {
            // Two contents were refused.
            let numbered = [2, 3].map { said($0, "bob", "hi").words }
            if numbered.contains(failure.got) { failure.cause = "refused-content-numbered" }
            throw failure
        }
        // Errors are between the server and the one who made them.
        func toldToAll(_ heard: Heard) -> String? {
            switch heard {
            case .message(.error), .message(.loginResponse): "errors-told-to-all"
            default: nil
            }
        }
        try ann.expect(.userJoined(username: "bob"), said(1, "bob", "hi"), cause: toldToAll)
        try ann.expectNothingBefore(cause: toldToAll)
    },
    Check("server-order", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let speakers = try trial.room(server, "s0", "s1", "s2", "s3")
        let listeners = try (0..<3).map { try trial.member("l\($0)", server) }
        let rounds = 100
        for number in 0..<rounds {
            for (index, speaker) in speakers.enumerated() { try speaker.chat("\(index) \(number)") }
        }
        var order: [String] = []
        for (index, member) in (speakers + listeners).enumerated() {
            try member.expectSameOrder(&order, speakers: 4, rounds: rounds, isSpeaker: index < speakers.count)
        }
    },
    Check("server-history", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let ann = try trial.member("ann", server)
        for number in 1...60 { try ann.chat("\(number)") }
        for number in 1...60 { try ann.expect(said(number, "ann", "\(number)")) }
        // Some join while more is said: what they hear goes on behind the history without a gap.
        var joiners: [ChatPeer] = []
        for number in 61...160 {
            try ann.chat("\(number)")
            guard number % 10 == 0 else { continue }
            let joiner = try trial.visitor(server)
            try joiner.send(.login(username: "j\(number)"))
            joiners.append(joiner)
        }
        for joiner in joiners {
            try joiner.expect(.loginResponse(refusal: nil))
            var last: Int?
            var count = 0
            while last != 160 {
                let expected = say(
                    "chat_message \(last.map { "\($0 + 1)" } ?? "11 … 111") on \(joiner.name)",
                    "\(joiner.name)收到 chat_message \(last.map { "\($0 + 1)" } ?? "11 … 111")")
                let heard = try joiner.nextMessage(expected)
                if case .message(.userJoined) = heard, count >= 50 { continue }
                guard case .message(.chatMessage(let line)) = heard, line.content == "\(line.id)",
                    last.map({ $0 + 1 == line.id }) ?? (11...111).contains(line.id)
                else {
                    throw Failure(
                        expected: expected, got: heard.text,
                        cause: count == 0
                            ? joiner.withoutHistory(heard)
                            : joiner.gap(heard, behind: last) ?? (heard.isUserJoined ? "history-too-short" : nil))
                }
                last = line.id
                count += 1
            }
            guard count >= 50 else {
                throw Failure(
                    expected: say("a history of 50 messages on \(joiner.name)", "\(joiner.name)收到 50 条历史消息"),
                    got: say("\(count) messages", "\(count) 条消息"), cause: "history-too-short")
            }
        }
    },
    Check("server-leave", suspects: [.clientEndedServer] + Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let members = try trial.room(server, "ann", "bob", "eve", "dan", "tom")
        try members[1].stream.send([0, 0])
        members[1].stream.close()
        members[2].stream.reset()
        try members[3].send(.logout)
        var left: Set<String> = []
        for _ in 0..<3 {
            let expected = say(
                "user_left of bob, eve and dan on \(members[0].name)", "\(members[0].name)收到 bob、eve 和 dan 的 user_left")
            let heard = try members[0].nextMessage(expected)
            guard case .message(.userLeft(let name)) = heard, ["bob", "eve", "dan"].contains(name),
                left.insert(name).inserted
            else { throw Failure(expected: expected, got: heard.text) }
        }
        try members[0].expectNothingBefore()
        // Their names are free.
        for name in ["bob", "eve", "dan"] {
            let again = try trial.visitor(server)
            try again.send(.login(username: name))
            try again.expect(.loginResponse(refusal: nil), cause: nameKept)
            try members[0].expect(.userJoined(username: name))
        }
        // Gone before it is answered: a reset behind the end of the stream. Nothing is tried again and again for it.
        try server.subject.pause()
        let gone = try trial.visitor(server)
        try gone.send(.chat(content: "anybody?"))
        gone.stream.halfClose()
        gone.stream.reset()
        server.subject.resume()
        try members[0].expectNothingBefore()
        try trial.expectRest(
            server.subject, say("a second after a client has broken off", "客户端断开之后的一秒内"))
    },
    Check("server-leaves-nothing", suspects: [.connectionLeak, .leftOpen, .clientEndedServer] + Cause.chatRoom) {
        trial in
        let server = try trial.serve(chatServer14, descriptorLimit: 32)
        let ann = try trial.member("ann", server)
        for number in 1...100 {
            let guest = try trial.member("guest", server, cause: number > 1 ? nameKept : { _ in nil })
            try ann.expect(.userJoined(username: "guest"))
            try guest.chat("\(number)")
            try ann.expect(said(number, "guest", "\(number)"))
            switch number % 3 {
            case 0: try guest.send(.logout)
            case 1: guest.stream.close()
            default: guest.stream.reset()
            }
            try ann.expect(.userLeft(username: "guest"))
            guest.stream.close()
        }
    },
    Check("server-python", suspects: Cause.chatRoom) { trial in
        let interpreter = try PythonPeer.interpreter(with: "json")
        let server = try trial.serve(chatServer14)
        let ann = try trial.member("ann", server)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", pythonClient, "\(server.address.port)", "\(Deadline.patience * Deadline.scale)"]
        let output = Pipe()
        (process.standardOutput, process.standardError) = (output, output)
        process.standardInput = FileHandle.nullDevice
        trial.note(say("\(interpreter): a client of 30 lines connects", "\(interpreter)：一个 30 行的客户端发起连接"))
        try process.run()
        // It ends by itself: each of its waits has an end.
        let printed = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let last = printed.split(separator: "\n").last.map(String.init) ?? ""
        guard process.terminationStatus == 0, last == "done" else {
            throw Failure(
                expected: say("a client in Python logs in, talks and logs out", "Python 写的客户端登录、说话、登出"), got: last)
        }
        try ann.expect(
            .userJoined(username: "test_user"), said(1, "test_user", "你好 from Python"), .userLeft(username: "test_user")
        )
    },
    Check("server-reference-client", suspects: Cause.chatRoom) { trial in
        let server = try trial.serve(chatServer14)
        let ann = try trial.member("ann", server)
        let other = try Companion(trial, Lesson14.slug)
        let steps = [
            ["login", "ann"], ["login", "bob"], ["chat", "hello"], ["chat", "再见"],
        ].map { Value.list($0.map { .string($0) }) }
        try other.begin(
            "chat-client",
            [
                .string(server.address.host), .int(Int(server.address.port)),
                .list(steps + [.list([.string("receive"), .int(3)]), .list([.string("logout")])]),
            ])
        try ann.expect(.userJoined(username: "bob"), said(1, "bob", "hello"), said(2, "bob", "再见"))
        try ann.chat("bye, bob")
        try ann.expect(said(3, "ann", "bye, bob"), .userLeft(username: "bob"))
        let got = try [other.value("chat-client")].list(0).map { value -> Value in
            guard case .list(let parts) = value else { return value }
            return .list(Array(parts.prefix(4)))
        }
        let wanted: [Value] =
            [.list([.string("refused"), .string("name_taken")]), .list([.string("login")])]
            + [said(1, "bob", "hello"), said(2, "bob", "再见"), said(3, "ann", "bye, bob")].map {
                guard case .list(let parts) = $0.value else { return $0.value }
                return .list(Array(parts.prefix(4)))
            }
        try trial.expect(
            Value.list(got).text, equals: Value.list(wanted).text,
            say("what the lab's own client got", "实验自带的客户端收到的"))
    },
]

/// A classic chat client, with a length before each message.
private let pythonClient = """
    import json, socket, struct, sys
    port, patience = int(sys.argv[1]), float(sys.argv[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=patience)
    def send(message):
        data = json.dumps(message, ensure_ascii=False).encode("utf-8")
        connection.sendall(struct.pack("!I", len(data)) + data)
    def exactly(count):
        data = b""
        while len(data) < count:
            part = connection.recv(count - len(data))
            if not part:
                raise SystemExit("the server closed the connection")
            data += part
        return data
    def receive(type):
        message = json.loads(exactly(struct.unpack("!I", exactly(4))[0]).decode("utf-8"))
        if message["type"] != type:
            raise SystemExit(f"{type} was expected, and {message} came")
        return message
    send({"type": "login", "username": "test_user", "password": "password123"})
    if receive("login_response")["success"] is not True:
        raise SystemExit("the login failed")
    send({"type": "chat", "username": "test_user", "content": "你好 from Python"})
    said = receive("chat_message")
    if said["username"] != "test_user" or said["content"] != "你好 from Python":
        raise SystemExit(f"it came back as {said}")
    send({"type": "logout", "username": "test_user"})
    receive("logout_response")
    if connection.recv(1):
        raise SystemExit("something came behind the logout_response")
    print("done")
    """

extension Trial {
    /// Two members, from login to logout.
    fileprivate func converse(with server: Server) throws {
        let before = Date().timeIntervalSince1970
        let ann = try member("ann", server)
        let bob = try member("bob", server)
        try ann.expect(.userJoined(username: "bob"))
        let text = "hello, 世界 \"\\\n😀"
        try bob.chat(text)
        for peer in [ann, bob] {
            let heard = try peer.nextMessage(
                say("chat_message 1 of bob on \(peer.name)", "\(peer.name)收到 bob 的 chat_message 1"))
            guard case .message(.chatMessage(let line)) = heard, heard == .message(.chatMessage(line)),
                said(1, "bob", text) == ChatMessage.chatMessage(line).timeless
            else {
                let wanted = said(1, "bob", text)
                throw Failure(
                    expected: wanted.words, got: heard.text,
                    cause: heard.isBroken(by: wanted) ? "text-not-escaped" : nil)
            }
            // The same clock on both sides; two seconds are for one that is being set.
            let range = (before - 2)...(Date().timeIntervalSince1970 + 2)
            guard range.contains(line.timestamp) else {
                throw Failure(
                    expected: say(
                        "a timestamp in seconds since 1970, about \(Int(before))", "时间戳是 1970 年以来的秒数，约 \(Int(before))"),
                    got: "\(line.timestamp)",
                    cause: range.contains(line.timestamp / 1000) ? "timestamp-in-milliseconds" : nil)
            }
        }
        try ann.chat("hi")
        for peer in [ann, bob] { try peer.expect(said(2, "ann", "hi")) }
        try bob.send(.logout)
        try bob.expect(.logoutResponse)
        try bob.expectEnd(reset: nil)
        try ann.expect(.userLeft(username: "bob"))
        try ann.expectNothingBefore { heard in
            switch heard {
            case .message(.chatMessage), .message(.userLeft): "chat-message-doubled"
            default: nil
            }
        }
    }
}
