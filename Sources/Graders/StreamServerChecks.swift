// What every TCP server must stand, whatever it talks about: lessons 04 to 09 use these checks. Each is described under
// `tcp-…` in Lessons/common.json; in a lesson its id is the server's prefix and the same word: `uppercase-restart`.
import Course
import GraderKit
import Sockets
import Wire

/// The checks of one server.
///
/// - Parameter entry: its name in the contract: `uppercase-server`.
/// - Parameter prefix: what its checks' ids begin with: `uppercase`.
/// - Parameter suspects: mistakes that only a server of its kind can make.
public func streamServerChecks(_ entry: String, prefix: String, exchange: Exchange, suspects: [Cause] = []) -> [Check] {
    let checks = StreamServerChecks(entry: entry, prefix: prefix, exchange: exchange, suspects: suspects)
    return [
        checks.address, checks.ipv6, checks.taken, checks.restart, checks.backlog, checks.halfClose, checks.silent,
        checks.reset, checks.vanish, checks.descriptors, checks.idle, checks.eintr, checks.aborted, checks.short,
        checks.badNetwork,
    ]
}

private struct StreamServerChecks {
    let entry: String
    let prefix: String
    let exchange: Exchange
    let suspects: [Cause]

    func check(
        _ word: String, suspects likeliest: [Cause] = [], body: @escaping @Sendable (Trial) throws -> Void
    ) -> Check {
        Check("\(prefix)-\(word)", suspects: likeliest + suspects + Cause.streamServer, body: body)
    }

    // MARK: Where it listens

    var address: Check {
        check("address") { [entry, exchange] trial in
            // All of 127.0.0.0/8 is loopback on Linux; elsewhere there may be one address only.
            let other = trial.hasLoopback("127.0.0.2") ? "127.0.0.2" : "127.0.0.1"
            let (server, port) = try trial.serveOnChosenPort(entry, SOCK_STREAM, host: other)
            let served = server.subject.timeline.served
            try trial.expect(
                // An IPv6 socket may have it as an IPv4 address in IPv6's form.
                served?.description.replacing("[::ffff:\(other)]", with: other) ?? "",
                equals: try SocketAddress(host: other, port: port).description,
                say("the address it listens on", "监听的地址"))
            try exchange.visit(server)
        }
    }

    var ipv6: Check {
        check("ipv6", suspects: [.ipv4Only]) { [entry, exchange] trial in
            try trial.needsLoopback("::1")
            let server = try trial.serve(entry, host: "::1")
            try exchange.visit(server)
        }
    }

    var taken: Check {
        check("taken", suspects: [.listenedElsewhere, .sharedPort]) { [entry] trial in
            let first = try trial.serve(entry)
            let port = first.address.port
            try trial.expectNoStart(
                entry, port: port, throws: EADDRINUSE,
                say("a server listens on port \(port) already", "端口 \(port) 已有服务器在监听"))
            // Two may be bound to a port while none listens; then the second listen is refused.
            try trial.expectNoStart(
                entry, plan: .fail(.listen, with: EADDRINUSE), throws: EADDRINUSE,
                say("listen fails with it", "listen 因它而失败"))
            try trial.expectNoStart(
                entry, plan: .fail(.socket, every: 1, with: EMFILE), throws: EMFILE,
                say("socket fails with it", "socket 因它而失败"))
        }
    }

    var restart: Check {
        check("restart") { [entry, exchange] trial in
            let first = try trial.serve(entry)
            let client = try first.connect()
            try exchange.run(client)
            // The server goes first, so TIME_WAIT is on its side, on its port.
            first.kill()
            client.close()
            let second = try trial.serve(entry, port: first.address.port)
            try exchange.visit(second)
        }
    }

    var backlog: Check {
        check("backlog", suspects: [.smallBacklog]) { [entry, exchange] trial in
            let server = try trial.serve(entry)
            try server.subject.pause()
            let clients = try (0..<burst).map { _ in try server.beginConnect() }
            for client in clients { try client.expectConnected() }
            server.subject.resume()
            for client in clients {
                try exchange.run(client)
                client.close()
            }
        }
    }

    // MARK: What clients do to it

    var halfClose: Check {
        check("half-close", suspects: [.resetAtClose, .parentKeepsConnection, .readsPastTheEnd, .leftOpen]) {
            [entry, exchange] trial in
            // With short sends most of the answer is still to be sent when the end is read.
            for plan in [.none, FaultPlan.most(1, each: .send)] {
                let server = try trial.serve(entry, plan: plan)
                let client = try server.connect()
                try exchange.beginConnection(client)
                try client.send(exchange.question)
                client.halfClose()
                try exchange.expectAnswer(client)
                try exchange.expectEnd(client)
            }
        }
    }

    var silent: Check {
        check("silent", suspects: [.serverServedOnce, .clientEndedServer]) { [entry, exchange] trial in
            let server = try trial.serve(entry)
            for _ in 0..<3 { try server.connect().close() }
            try exchange.visit(server)
        }
    }

    var reset: Check {
        check("reset", suspects: [.clientEndedServer]) { [entry, exchange] trial in
            let server = try trial.serve(entry)
            try server.connect().reset()
            let second = try server.connect()
            try exchange.beginConnection(second)
            try second.send(exchange.question)
            second.reset()
            let third = try server.connect()
            try exchange.run(third)
            third.reset()
            try exchange.visit(server)
        }
    }

    var vanish: Check {
        check("vanish", suspects: [.clientEndedServer]) { [entry, exchange] trial in
            let server = try trial.serve(entry)
            // The server is stopped, so the client is surely gone by the time that it answers. A reset behind the end of
            // the stream makes its send fail with EPIPE, and not with ECONNRESET first.
            try server.subject.pause()
            let early = try server.connect()
            try early.send((exchange.opening?.bytes ?? []) + exchange.question)
            early.halfClose()
            early.reset()
            server.subject.resume()
            try exchange.visit(server)
            // And one that asks and asks, reads nothing, and leaves in the middle of an answer.
            let questions = exchange.questions(200_000)
            let deaf = try server.connect(smallBuffers: true)
            try exchange.beginConnection(deaf)
            _ = try deaf.sendUntilStuck(questions)
            deaf.reset()
            try exchange.visit(server)
        }
    }

    // MARK: What it uses up

    var descriptors: Check {
        check("descriptors", suspects: [.connectionLeak, .parentKeepsConnection, .readsPastTheEnd, .leftOpen]) {
            [entry, exchange] trial in
            let server = try trial.serve(entry, descriptorLimit: descriptorLimit)
            // A server that leaves each client waiting would keep the grader for an hour. A busy machine may delay any one
            // of them, not all.
            var quickest = UInt64.max
            var mayBeBehind = true
            let start = now()
            for number in 1...1_000 {
                guard now() - start < UInt64(200e9 * Deadline.scale) else {
                    throw Unavailable(
                        say("this machine is too slow for 1,000 clients one after another", "这台机器太慢，来不及先后接待 1,000 个客户端")
                    )
                }
                let began = now()
                try exchange.runOnce(server)
                quickest = min(quickest, now() - began)
                // On a busy machine its threads may be behind with closing. Who leaks is never done with it.
                if mayBeBehind { mayBeBehind = server.waitForDescriptors(descriptorLimit / 2) }
                guard number < 30 || quickest < UInt64(250e6 * Deadline.scale) else {
                    throw Failure(
                        expected: say("1,000 clients are served, one after another", "先后为 1,000 个客户端服务"),
                        got: say(
                            "each of the first \(number) took \(quickest / 1_000_000) ms or more",
                            "前 \(number) 个客户端，每个至少用了 \(quickest / 1_000_000) 毫秒"))
                }
            }
        }
    }

    var idle: Check {
        // What its kind can make of it says more than that it polls.
        Check("\(prefix)-idle", suspects: suspects + [.readsPastTheEnd, .pollsInsteadOfWaiting] + Cause.streamServer) {
            [entry, exchange] trial in
            let server = try trial.serve(entry)
            try exchange.visit(server)
            let client = try server.connect()
            try exchange.run(client)
            try trial.expectQuiet(server)
            try exchange.run(client)
        }
    }

    // MARK: A bad day

    var eintr: Check {
        check("eintr", suspects: [.interruptedCall]) { [entry, exchange] trial in
            let thrice = [FaultPlan.Calls.accept, .receive, .send, .waitReady]
                .map { FaultPlan.fail($0, 1, through: 3, with: EINTR) }
            let server = try trial.serve(entry, plan: thrice.reduce(.none, +))
            try exchange.visit(server)
            try trial.expectEndNoticed(server)
            try exchange.visit(server)
        }
    }

    var aborted: Check {
        check("aborted", suspects: [.acceptErrorEndedServer]) { [entry, exchange] trial in
            let plan = FaultPlan.fail(.accept, 2, through: 4, with: ECONNABORTED)
            let server = try trial.serve(entry, plan: plan)
            try exchange.visit(server)
            try exchange.visit(server)
        }
    }

    var short: Check {
        check("short") { [entry, exchange] trial in
            let server = try trial.serve(entry, plan: .most(1, each: .receive) + .most(1, each: .send))
            try exchange.visit(server)
            // With long receives there is a rest to each send.
            try exchange.visit(try trial.serve(entry, plan: .most(1, each: .send)))
        }
    }

    /// Some connections are cut within the first question or answer; all others are served as on a good day.
    var badNetwork: Check {
        check("bad-network", suspects: [.serverServedOnce, .clientEndedServer, .parentKeepsConnection, .leftOpen]) {
            [entry, exchange] trial in
            let server = try trial.serve(entry)
            let first = (exchange.opening?.bytes ?? []) + exchange.question
            let weather = StreamNetwork.Weather(halfClosed: 25, reset: 25, after: 0...first.count, slice: 1...7)
            let network = try StreamNetwork(to: server.address, weather: weather, seed: trial.random.next())
            defer { network.close() }
            for number in 1...20 {
                let client = try server.connect(through: network)
                switch network.fate(of: number) {
                case .whole:
                    try exchange.run(client)
                    try exchange.run(client)
                    client.halfClose()
                    try exchange.expectEnd(client)
                case let fate:
                    trial.note(fate.text)
                    client.askInVain(first)
                    try client.expectOver()
                }
                client.close()
            }
            try exchange.visit(server)
        }
    }
}

/// How many clients must find room in the queue of a server that is busy.
private let burst = 50
/// How many descriptors a server may have open while 1,000 clients come and go, one after another.
private let descriptorLimit = 64

extension Server {
    /// Waits until the program has at most so many descriptors open.
    ///
    /// - Returns: false if that did not come in time.
    func waitForDescriptors(_ most: Int) -> Bool {
        wait { subject.descriptorCount <= most }
    }

    /// The connections that it has accepted and not closed, by whatever means: a library's close leaves no record.
    var openSockets: Set<Int32> {
        subject.catchUp()
        return subject.sockets(among: Set(subject.timeline.openConnections))
    }

    /// Waits until it is so; false if it is not in time. Nobody tells when a descriptor is closed, or, but to its parent,
    /// when a process ends: this has to ask again and again.
    func wait(_ condition: () -> Bool) -> Bool {
        let deadline = Deadline()
        while !condition() {
            if deadline.hasPassed { return false }
            poll(nil, 0, 5)
        }
        return true
    }
}

/// Who does not look at what socket returned hears of it from the next call, with EBADF: late, and enough.
func isSaid(_ code: Int32, by thrown: Int32) -> Bool { thrown == code || code == EMFILE && thrown == EBADF }

extension Trial {
    /// The server's function throws SocketError with this errno. Whether it closes what it has made is not asked: who
    /// cannot start ends, as a rule.
    fileprivate func expectNoStart(
        _ entry: String, port: UInt16 = 0, plan: FaultPlan = .none, throws code: Int32, _ because: String
    ) throws {
        let expected = say(
            "it throws SocketError \(errorName(code)): \(because)", "抛出 SocketError \(errorName(code))：\(because)")
        switch try serveInVain(entry, port: port, plan: plan) {
        case .threw("SocketError", _, let thrown, _)? where isSaid(code, by: thrown): return
        case .returned?:
            throw Failure(
                expected: expected, got: say("it returned as if all were well", "它像没事一样返回了"),
                cause: "listen-error-kept")
        case let outcome?: throw Failure(expected: expected, got: outcome.text)
        case nil: throw Failure(expected: expected, got: say("it waits for clients", "它在等客户端"))
        }
    }

    /// A client has left. errno is still the EINTR of before, which says nothing any more: who looks at it when recv has
    /// returned 0 receives again and again.
    fileprivate func expectEndNoticed(_ server: Server) throws {
        let spins = try server.subject.waitForTimeline(until: Deadline(in: 2)) { timeline -> Bool? in
            if let (_, times) = timeline.repeated({ $0.result == 0 && $0.length > 0 }), times >= 20 { return true }
            let end = timeline.calls.first { $0.isReceive && $0.returned != nil && $0.result <= 0 && $0.error != EINTR }
            guard let end else { return nil }
            return timeline.calls("close").contains { $0.descriptor == end.descriptor } ? false : nil
        }
        guard spins == true else { return }
        throw Failure(
            expected: say("no receive after one that returned 0", "返回 0 之后不再接收"),
            got: say("it receives again and again", "它一再接收"), cause: "reads-past-the-end")
    }

    /// Clients are connected and say nothing for a second: the server waits.
    func expectQuiet(_ server: Server) throws {
        let before = (cpu: server.subject.cpuTime, calls: server.subject.timeline.callCount)
        // Not to wait for something: this second is what is measured.
        poll(nil, 0, 1000)
        let cpu = (Int(server.subject.cpuTime) - Int(before.cpu)) / 1_000_000
        let calls = server.subject.timeline.callCount - before.calls
        guard cpu <= 100, calls <= 100 else {
            throw Failure(
                expected: say(
                    "at most 100 ms of CPU and 100 calls in a second in which no client says anything",
                    "没有客户端说话的一秒内，CPU 不超过 100 ms，调用不超过 100 次"),
                got: say("\(cpu) ms of CPU, \(calls) calls", "CPU \(cpu) ms，调用 \(calls) 次"))
        }
    }

    func hasLoopback(_ host: String) -> Bool {
        do { try needsLoopback(host) } catch { return false }
        return true
    }
}

extension StreamNetwork.Fate {
    fileprivate var text: String {
        switch self {
        case .whole: say("the network: all arrives", "网络：全部送达")
        case .halfClosed(.toServer, let count):
            say("the network: the server sees the end after \(byteCount(count))", "网络：服务器在 \(byteCount(count))后看到流结束")
        case .halfClosed(.toClient, let count):
            say("the network: the client sees the end after \(byteCount(count))", "网络：客户端在 \(byteCount(count))后看到流结束")
        case .reset(.toServer, let count):
            say("the network: a reset after \(byteCount(count)) to the server", "网络：发往服务器 \(byteCount(count))后重置")
        case .reset(.toClient, let count):
            say("the network: a reset after \(byteCount(count)) to the client", "网络：发往客户端 \(byteCount(count))后重置")
        }
    }
}

extension StreamPeer {
    /// Asks, and has no more to say; the connection may break meanwhile.
    func askInVain(_ question: [UInt8]) {
        _ = question.withUnsafeBytes { Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        halfClose()
    }

    /// The connection ends, in whatever way, after whatever bytes.
    fileprivate func expectOver() throws {
        let sentence = say("\(name) is over, since the network cut it", "网络切断了\(name)，连接随之结束")
        let deadline = Deadline()
        while true {
            switch try receive(1 << 16, until: deadline, expected: sentence) {
            case .bytes: continue
            case .end, .broken: return
            case .late: throw Failure(expected: sentence, got: StreamPeer.keptOpen)
            }
        }
    }

    static var keptOpen: String { say("the program keeps it open", "程序一直开着它") }
}

extension Timeline {
    var callCount: Int { counts.values.reduce(0, +) }
}
