// What a server that serves everybody in one thread must do, by whatever call it waits: lessons 06 and 07.
import Course
import GraderKit
import Sockets
import Wire

/// - Parameter entry: its name in the contract: `select-server`.
/// - Parameter prefix: what its checks' ids begin with: `select`.
/// - Parameter crowd: how many clients it must serve at once.
func eventServerChecks(_ entry: String, prefix: String, crowd count: Int) -> [Check] {
    [
        Check("\(prefix)-answers", suspects: [.mainThreadBlocked]) { trial in
            let server = try trial.serve(entry)
            let client = try server.connect()
            for size in [1, 300, 40_000] {
                let message = trial.random.bytes(size)
                try client.send(message)
                try client.expect(uppercased(message))
            }
            client.halfClose()
            try client.expectEnd()
        },
        Check("\(prefix)-one-thread") { trial in
            let server = try trial.serve(entry)
            let clients = try (0..<20).map { _ in try server.connect() }
            for client in clients.reversed() { try uppercaseExchange.run(client) }
            try trial.expectOneThread(server)
        },
        Check("\(prefix)-crowd", suspects: [.smallBacklog, .mainThreadBlocked]) { trial in
            let server = try trial.serve(entry, descriptorLimit: count + 100)
            let crowd = try server.crowd(count)
            for _ in 0..<3 {
                let salt = trial.random.letters(8)
                try crowd.exchange { index in salt + Array("client \(index)\u{e9}".utf8) }
            }
        },
        Check("\(prefix)-silent-client", suspects: [.mainThreadBlocked]) { trial in
            let server = try trial.serve(entry)
            let silent = try (0..<5).map { _ in try server.connect() }
            let talking = try server.connect()
            try uppercaseExchange.run(talking)
            for client in silent.reversed() { try uppercaseExchange.run(client) }
        },
        Check("\(prefix)-deaf-client", suspects: [.blockedInSend, .mainThreadBlocked]) { trial in
            let server = try trial.serve(entry)
            let deaf = try server.connect(smallBuffers: true)
            let message = trial.random.letters(1 << 20)
            let sent = try deaf.sendUntilStuck(message)
            let other = try server.connect()
            try uppercaseExchange.run(other)
            // What was kept for it is still there when it does read.
            try deaf.expect(Array(uppercased(message).prefix(sent)))
        },
        Check("\(prefix)-back-pressure", suspects: [.keepsEverything]) { trial in
            let server = try trial.serve(entry)
            try uppercaseExchange.runOnce(server)
            let before = server.subject.peakMemory
            let deaf = try server.connect(smallBuffers: true)
            let message = [UInt8](repeating: UInt8(ascii: "x"), count: 64 << 20)
            let sent = try deaf.sendUntilStuck(message)
            let grown = (server.subject.peakMemory - before) >> 20
            guard sent < message.count, grown < 32 else {
                throw Failure(
                    expected: say(
                        "it stops reading from a client that reads nothing, and uses less than 32 MB more for it",
                        "不再从一个什么也不读的客户端读取，为它多用的内存少于 32 MB"),
                    got: say(
                        "it took \(sent >> 20) MB, and uses \(grown) MB more",
                        "它收下了 \(sent >> 20) MB，多用了 \(grown) MB 内存"))
            }
        },
        Check("\(prefix)-full-table", suspects: [.acceptErrorEndedServer, .spinsOnFullTable]) { trial in
            let server = try trial.serve(entry, descriptorLimit: 40)
            let clients = try (0..<60).map { _ in try server.connect() }
            try uppercaseExchange.run(clients[0])
            let before = server.subject.cpuTime
            // Not to wait for something: this second is what is measured.
            poll(nil, 0, 1000)
            let busy = Int(server.subject.cpuTime - before) / 1_000_000
            guard busy < 300 else {
                throw Failure(
                    expected: say(
                        "less than 300 ms of CPU in a second with no room for another client",
                        "没有空闲描述符的一秒内，CPU 少于 300 ms"),
                    got: say("\(busy) ms", "\(busy) ms"))
            }
            for client in clients.prefix(30) { client.close() }
            // Those who waited in the queue get their turn.
            for client in clients.suffix(20) { try uppercaseExchange.run(client) }
        },
    ]
}
