// Lesson 14: the room, without a socket. What it delivers is compared connection by connection, in order; how it is
// divided into deliveries is the student's choice.
import Course
import GraderKit
import Wire

/// What happens in a room.
private enum RoomEvent {
    case message(Int, ChatMessage)
    case leave(Int)

    var connection: Int {
        switch self {
        case .message(let connection, _), .leave(let connection): connection
        }
    }
}

private func login(_ connection: Int, _ name: String) -> RoomEvent { .message(connection, .login(username: name)) }
private func chat(_ connection: Int, _ content: String) -> RoomEvent { .message(connection, .chat(content: content)) }

let roomChecks: [Check] = [
    Check("room-login") { trial in
        try trial.expectRoom([login(1, "ann"), login(2, "bob"), login(3, "王小明")])
    },
    Check("room-chat") { trial in
        try trial.expectRoom([
            login(1, "ann"), chat(1, "alone"), login(2, "bob"), chat(2, "hi"), chat(1, "hi, bob"), login(3, "eve"),
            chat(3, "\"quoted\"\n你好"), chat(3, "again"),
        ])
    },
    Check("room-names") { trial in
        let bad = [
            "", " ", "a b", "a\n", "\u{0}", "\u{1f}x", "x\u{7f}", String(repeating: "n", count: 33),
            String(repeating: "名", count: 11),
        ]
        let good = [
            "a", String(repeating: "n", count: 32), String(repeating: "名", count: 10), "\"\\", "a\u{a0}b", "😀", "-",
            // The same to the eye, and to ==; not the same bytes.
            "caf\u{e9}", "cafe\u{301}", "Ann", "ann",
            // The first and the last byte of ASCII that a name may have.
            "!", "~",
        ]
        var events: [RoomEvent] = bad.map { login(1, $0) }
        for (index, name) in good.enumerated() { events += [login(index + 2, name), login(1, name)] }
        // It may try until it succeeds; and a name is free when its owner has gone.
        events += [
            login(1, "one"), .leave(2), login(20, "a"), login(21, "one"), .message(1, .logout), login(21, "one"),
        ]
        try trial.expectRoom(events)
    },
    Check("room-not-logged-in") { trial in
        try trial.expectRoom([
            login(1, "ann"), chat(2, "hi"), .message(2, .logout), chat(2, ""), login(2, "bob"), chat(2, "now"),
            .message(2, .logout), chat(2, "gone"),
        ])
    },
    Check("room-double-login") { trial in
        try trial.expectRoom([
            login(1, "ann"), login(2, "bob"), login(1, "ann"), login(1, "anna"), login(1, ""), login(1, "bob"),
            chat(1, "still ann"),
            login(3, "anna"), .leave(1), login(4, "ann"),
        ])
    },
    Check("room-history") { trial in
        var events = [login(1, "ann")]
        for number in 1...60 { events.append(chat(1, "message \(number)")) }
        events += [login(2, "bob"), chat(2, "61"), .leave(1), login(3, "ann"), chat(3, "62")]
        try trial.expectRoom(events)
        // Of one message only, and of none.
        for length in [1, 0] { try trial.expectRoom(events, historyLength: length) }
        // Who has left is still to be heard of; nobody need be there.
        try trial.expectRoom([login(1, "ann"), chat(1, "last words"), .leave(1), login(2, "bob"), login(3, "eve")])
    },
    Check("room-content") { trial in
        try trial.expectRoom([
            login(1, "ann"), login(2, "bob"), chat(1, ""), chat(1, String(repeating: "x", count: 4097)),
            chat(1, String(repeating: "字", count: 1366)), chat(1, "the first"),
            chat(1, String(repeating: "x", count: 4096)), chat(2, String(repeating: "字", count: 1365)),
            chat(2, " \n\0"),
        ])
    },
    Check("room-leave") { trial in
        try trial.expectRoom([
            login(1, "ann"), login(2, "bob"), login(3, "eve"), .leave(4), .message(2, .logout), .leave(1), .leave(1),
            chat(3, "alone"),
            .leave(3), login(5, "bob"),
        ])
    },
    Check("room-server-types") { trial in
        let lies: [ChatMessage] = [
            .loginResponse(refusal: nil), said(1, "ann", "I am ann"), .userJoined(username: "x"),
            .userLeft(username: "ann"),
            .logoutResponse, .error(.badName), .loginResponse(refusal: .badName),
        ]
        try trial.expectRoom(
            [login(1, "ann"), login(2, "bob")] + lies.map { .message(2, $0) } + lies.map { .message(3, $0) }
                + [chat(1, "still here"), login(3, "eve")])
    },
    Check("room-long-life") { trial in
        let names = (0..<12).map { "member\($0)" } + ["", "a b"]
        var events: [RoomEvent] = []
        var next = 1
        var open: [Int] = []
        for _ in 0..<1500 {
            if open.isEmpty || Int.random(in: 0..<12, using: &trial.random) == 0 {
                open.append(next)
                next += 1
            }
            let connection = open.randomElement(using: &trial.random) ?? 0
            switch Int.random(in: 0..<20, using: &trial.random) {
            case 0..<6: events.append(login(connection, names.randomElement(using: &trial.random) ?? ""))
            case 6..<16: events.append(chat(connection, "word \(events.count)"))
            case 16: events.append(.message(connection, .userLeft(username: "member0")))
            case 17:
                events += [.message(connection, .logout), .leave(connection)]
                open.removeAll { $0 == connection }
            default:
                events.append(.leave(connection))
                open.removeAll { $0 == connection }
            }
        }
        try trial.expectRoom(events)
    },
]

/// The rules of PROTOCOL.md, written for reading: for each event, what each connection gets, in order.
private struct RoomModel {
    let historyLength: Int
    var members: [(connection: Int, name: String)] = []
    var history: [ChatLine] = []
    var lastID = 0
    /// So many contents of members broke the rule.
    var refusedContents = 0

    enum Act: Equatable {
        case message(ChatMessage)
        case close

        var words: String {
            switch self {
            case .message(let message): message.words
            case .close: say("close", "关闭")
            }
        }

        /// What was said; nil if it is anything else.
        var line: ChatLine? { if case .message(.chatMessage(let line)) = self { line } else { nil } }
    }

    mutating func happen(_ event: RoomEvent, at time: Double) -> [Int: [Act]] {
        var acts: [Int: [Act]] = [:]
        func tell(_ connection: Int, _ message: ChatMessage) { acts[connection, default: []].append(.message(message)) }
        func leave(_ connection: Int, of all: inout [(connection: Int, name: String)]) {
            guard let index = all.firstIndex(where: { $0.connection == connection }) else { return }
            let name = all.remove(at: index).name
            for member in all { tell(member.connection, .userLeft(username: name)) }
        }
        switch event {
        case .leave(let connection): leave(connection, of: &members)
        case .message(let connection, let message):
            let name = members.first { $0.connection == connection }?.name
            switch message {
            case .login where name != nil: tell(connection, .error(.alreadyLoggedIn))
            case .login(let wanted):
                let bytes = Array(wanted.utf8)
                if !(1...32).contains(bytes.count) || bytes.contains(where: { $0 <= 0x20 || $0 == 0x7F }) {
                    tell(connection, .loginResponse(refusal: .badName))
                } else if members.contains(where: { Array($0.name.utf8) == bytes }) {
                    tell(connection, .loginResponse(refusal: .nameTaken))
                } else {
                    tell(connection, .loginResponse(refusal: nil))
                    for line in history { tell(connection, .chatMessage(line)) }
                    for member in members { tell(member.connection, .userJoined(username: wanted)) }
                    members.append((connection, wanted))
                }
            case .chat(let content):
                guard let name else {
                    tell(connection, .error(.notLoggedIn))
                    break
                }
                guard (1...4096).contains(content.utf8.count) else {
                    tell(connection, .error(.badContent))
                    refusedContents += 1
                    break
                }
                lastID += 1
                let line = ChatLine(id: lastID, username: name, content: content, timestamp: time)
                for member in members { tell(member.connection, .chatMessage(line)) }
                history = (history + [line]).suffix(historyLength)
            case .logout where name != nil:
                tell(connection, .logoutResponse)
                acts[connection, default: []].append(.close)
                leave(connection, of: &members)
            case .logout: tell(connection, .error(.notLoggedIn))
            default: tell(connection, .error(.unknownType))
            }
        }
        return acts
    }
}

extension Trial {
    /// Lets all this happen in the student's room, and compares.
    fileprivate func expectRoom(_ events: [RoomEvent], historyLength: Int = 50) throws {
        // A quarter of a second apart: exact as numbers.
        func time(_ index: Int) -> Double { 1_766_000_000 + Double(index) / 4 }
        let script = events.enumerated().map { index, event -> Value in
            switch event {
            case .message(let connection, let message):
                var parts: [Value] = [.string("message"), .int(connection), .int(Int(time(index) * 1000))]
                if case .list(let more) = message.value { parts += more }
                return .list(parts)
            case .leave(let connection): return .list([.string("leave"), .int(connection)])
            }
        }
        let answers = try [call("room", .int(historyLength), .list(script))].list(0)
        var model = RoomModel(historyLength: historyLength)
        for (index, event) in events.enumerated() {
            let members = model.members
            let wanted = model.happen(event, at: time(index))
            let got = try acts(try answers.list(index))
            // Who it happens to first: what that connection gets says most of the mistake.
            let all = Set(wanted.keys).union(got.keys).sorted {
                ($0 == event.connection ? -1 : $0) < ($1 == event.connection ? -1 : $1)
            }
            for connection in all where wanted[connection] != got[connection] {
                throw difference(
                    wanted[connection] ?? [], got[connection] ?? [], connection, event, number: index + 1,
                    in: model, before: members.map(\.name))
            }
        }
    }

    private func acts(_ deliveries: [Value]) throws -> [Int: [RoomModel.Act]] {
        var acts: [Int: [RoomModel.Act]] = [:]
        for index in deliveries.indices {
            let delivery = try deliveries.list(index)
            if try delivery.string(0) == "close" {
                acts[try delivery.int(1), default: []].append(.close)
                continue
            }
            let message = try ChatMessage(value: try delivery.list(1))
            let connections = try delivery.list(2)
            for place in connections.indices { acts[try connections.int(place), default: []].append(.message(message)) }
        }
        return acts
    }

    /// What it means that a name is called taken which is none of these.
    private func whyTaken(_ name: String, _ names: [String]) -> String? {
        if names.contains(name) { return "names-compared-as-text" }
        if names.contains(where: { $0.lowercased() == name.lowercased() }) { return "names-in-any-case" }
        return "name-kept"
    }

    private func difference(
        _ wanted: [RoomModel.Act], _ got: [RoomModel.Act], _ connection: Int, _ event: RoomEvent, number: Int,
        in model: RoomModel, before names: [String]
    ) -> Failure {
        func list(_ acts: [RoomModel.Act]) -> String {
            if acts.isEmpty { return say("nothing", "什么也没有") }
            return acts.prefix(4).map(\.words).joined(separator: ", ")
                + (acts.count > 4 ? say(" … (\(acts.count))", " ……（共 \(acts.count)）") : "")
        }
        let what: String
        switch event {
        case .leave(let leaving): what = say("connection \(leaving) is gone", "连接 \(leaving) 断开")
        case .message(let sender, let message):
            what = say("connection \(sender) says \(message.words)", "连接 \(sender) 说 \(message.words)")
        }
        var found: String?
        switch event {
        case .message(_, .login(let name)) where wanted.first == .message(.loginResponse(refusal: nil)):
            if got == [.message(.loginResponse(refusal: .nameTaken))] { found = whyTaken(name, names) }
            if got == [.message(.loginResponse(refusal: .badName))] { found = "allowed-name-refused" }
            if wanted.count > 1 && got == Array(wanted.prefix(1)) { found = "history-not-sent" }
            if got.contains(.message(.userJoined(username: name))) { found = "told-of-itself" }
            // The same lines, in another order.
            if wanted.count == got.count, got != wanted, wanted.allSatisfy({ got.contains($0) }) {
                found = "history-out-of-order"
            }
            // All that was ever said is longer than the history: its beginning came.
            if wanted.count == got.count, model.lastID > model.historyLength, got.count > 1,
                case .message(.chatMessage(let line)) = got[1], line.id == 1
            {
                found = "history-wrong-end"
            }
            let (said, told) = (wanted.compactMap(\.line), got.compactMap(\.line))
            if said.count == told.count, said != told, said.map(\.content) == told.map(\.content) {
                found = "history-changed"
            }
            let isAnyLine = got.contains { if case .message(.chatMessage) = $0 { true } else { false } }
            if model.historyLength == 0, isAnyLine { found = "history-of-none" }
        case .message(_, .login(let name)) where wanted == [.message(.loginResponse(refusal: .badName))]:
            if name.count <= RoomRules.nameLimit && name.utf8.count > RoomRules.nameLimit {
                found = "limit-in-characters"
            }
        case .message(_, .loginResponse), .message(_, .chatMessage), .message(_, .userJoined), .message(_, .userLeft),
            .message(_, .logoutResponse), .message(_, .error):
            found = "client-believed"
        case .message(let sender, .chat) where sender == connection && got.isEmpty && !wanted.isEmpty:
            found = "sender-not-told"
        case .message(_, .chat(let content)) where wanted == [.message(.error(.badContent))]:
            if content.count <= RoomRules.contentLimit && content.utf8.count > RoomRules.contentLimit {
                found = "limit-in-characters"
            }
        case .message(_, .chat):
            let times = got.map { act -> Double? in
                if case .message(.chatMessage(let line)) = act { return line.timestamp }
                return nil
            }
            if wanted.count == 1, got.count == 1, case .message(let one) = wanted[0], case .message(let other) = got[0],
                one.timeless == other.timeless, times[0] != nil
            {
                found = "timestamp-not-given"
            }
            if wanted == [.message(.error(.notLoggedIn))], got == [.message(.error(.badContent))] {
                found = "content-before-membership"
            }
            if wanted.count == 1, got.count == 1, case .message(.chatMessage(let one)) = wanted[0],
                case .message(.chatMessage(let other)) = got[0], other.id > one.id, other.content == one.content,
                other.id - one.id <= model.refusedContents
            {
                found = "refused-content-numbered"
            }
        default: break
        }
        var (expected, came) = (list(wanted), list(got))
        if let (want, have) = zip(wanted, got).first(where: { $0 != $1 }), wanted.count > 4 || expected == came {
            (expected, came) = (want.words, have.words)
            // They differ in what is not written there.
            if let line = want.line, let other = have.line, expected == came {
                expected += say(", timestamp \(line.timestamp)", "，时间戳 \(line.timestamp)")
                came += say(", timestamp \(other.timestamp)", "，时间戳 \(other.timestamp)")
            }
        }
        return Failure(
            expected: say(
                "event \(number), \(what): to connection \(connection): ", "第 \(number) 件事，\(what)：发给连接 \(connection)：")
                + expected,
            got: came, cause: found)
    }
}
