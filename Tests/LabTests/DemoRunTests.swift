import Foundation
import GraderKit
import LabCore
import Sockets
import XCTest

/// Every demo as a process: what a script gets, and what stays behind.
final class DemoRunTests: XCTestCase {
    // MARK: Lines in a pipe

    func testLineDemosAnswerAScriptAndPrintNothingElse() throws {
        for demo in ["udp-echo", "tcp-echo", "tcp-threads", "tcp-fork", "udp-lossy"] {
            XCTAssertEqual(
                try DemoProcess.run(["run", demo, "--port", "0"], input: "hello\n"),
                .init(status: 0, output: "HELLO\n", errors: ""), demo)
        }
        XCTAssertEqual(
            try DemoProcess.run(["run", "framing", "--port", "0"], input: "one two 三\n"),
            .init(status: 0, output: "one\ntwo\n三\n", errors: ""))
    }

    func testAnswersComeInTheOrderOfTheLines() throws {
        let lines = (1...50).map { "line \($0)" }
        for demo in ["udp-echo", "tcp-echo", "tcp-threads", "tcp-fork"] {
            XCTAssertEqual(
                try DemoProcess.run(["run", demo, "--port", "0"], input: lines.joined(separator: "\n")),
                .init(status: 0, output: lines.map { $0.uppercased() + "\n" }.joined(), errors: ""), demo)
        }
    }

    func testBytesThatAreNoTextComeBackAsTheyWere() throws {
        let long = String(repeating: "x", count: 200_000)
        XCTAssertEqual(
            try DemoProcess.run(["run", "tcp-echo", "--port", "0"], input: "\u{1b}[31m é 你好\n\n\(long)\n").output,
            "\u{1b}[31M é 你好\n\n\(long.uppercased())\n")
    }

    func testALineThatNoDatagramHoldsIsRefused() throws {
        let ended = try DemoProcess.run(
            ["run", "udp-echo", "--port", "0"], input: String(repeating: "x", count: 65_508))
        XCTAssertEqual(ended.status, 3)
        XCTAssertEqual(ended.errors, "lab: This line is too long for a datagram: 65,507 bytes over IPv4.\n")
    }

    // MARK: Shows

    func testShowsEndByThemselves() throws {
        let expected: [(demo: String, text: String)] = [
            ("byte-order", "│ 12 │ 34 │ 56 │ 78 │"),
            ("addresses", "sin_port       12000, in network order"),
            ("udp-broadcast", "127.0.0.4:"),
            ("handshake", "TIME-WAIT ("),
            ("sticky", "3 sends, 1 recv: \"onetwothree\""),
            ("file-transfer", "✔ nothing of it is left"),
            ("nonblocking-connect", "getsockopt(3) → ECONNREFUSED"),
            ("epoll-why", "    900 select █"),
            ("five-servers", "iterative       1"), ("five-servers", "pool            4"),
            ("five-servers", "async          30"),
            ("buffering", "  one by one      ▏"), ("sendfile", "  sendfile  "),
            ("connection-pool", "  a pool          "),
            ("robust-client", "getsockopt(3) → ECONNREFUSED"), ("robust-client", "recv(3) = -1 ECONNRESET"),
            ("options", "setsockopt(TCP_KEEPCNT): Invalid argument (EINVAL)"),
            ("nagle", "two, TCP_NODELAY"),
        ]
        for (demo, text) in expected {
            let port = try Demo.find(demo).port == nil ? [] : ["--port", "0"]
            let ended = try DemoProcess.run(["run", demo] + port)
            XCTAssertEqual(ended.status, 0, "\(demo): \(ended.errors)")
            XCTAssertEqual(ended.errors, "", demo)
            XCTAssert(ended.output.contains(text), "\(demo): \(ended.output)")
            XCTAssertFalse(ended.output.contains("\u{1b}"), "\(demo): colour in a pipe")
        }
    }

    func testQuietShowsSayOnlyWhatCameOfIt() throws {
        XCTAssertEqual(
            try DemoProcess.run(["run", "byte-order", "--quiet"], input: "12000\n").output,
            "12000: e0 2e in memory, 2e e0 on the wire\n")
        XCTAssertEqual(
            try DemoProcess.run(["run", "addresses", "--quiet"], input: "127.0.0.1\n::1\n").output,
            "127.0.0.1: 7f 00 00 01\n::1: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01\n")
        let found = try DemoProcess.run(["run", "udp-broadcast", "--quiet", "--port", "0"]).output.split(
            separator: "\n")
        XCTAssertEqual(Set(found.map { $0.prefix { $0 != ":" } }), ["127.0.0.2", "127.0.0.3", "127.0.0.4"])
        XCTAssertEqual(
            try DemoProcess.run(["run", "handshake", "--quiet", "--port", "0"]).output.split(separator: "\n").prefix(6),
            [
                "– | LISTEN", "ESTABLISHED | LISTEN, ESTABLISHED", "ESTABLISHED | LISTEN, ESTABLISHED",
                "ESTABLISHED | LISTEN, ESTABLISHED", "FIN-WAIT-2 | LISTEN, CLOSE-WAIT", "TIME-WAIT (60 s) | LISTEN",
            ])
    }

    // MARK: Event loops

    func testConnectingHasThreeFates() throws {
        let ended = try DemoProcess.run(["run", "nonblocking-connect", "--quiet", "--port", "0"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        let lines = ended.output.split(separator: "\n").map(String.init)
        guard lines.count == 3 else { return XCTFail(ended.output) }
        let place = lines[0].replacingOccurrences(of: "connected to ", with: "")
        XCTAssertEqual(lines[1], "\(place): ECONNREFUSED, Connection refused")
        XCTAssertEqual(lines[2], "\(place): ETIMEDOUT, Connection timed out")
    }

    func testConnectingToSomebodyElse() throws {
        let server = try PlainSocket.bound(SOCK_STREAM)
        let there = try DemoProcess.run(["run", "nonblocking-connect", "--client", "\(try server.address)"])
        XCTAssertEqual(
            there, .init(status: 0, output: "connected to \(try server.address)\n", errors: ""))
        let nobody = try PlainSocket(SOCK_STREAM)
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(nobody.descriptor, $0, $1) })
        let address = try nobody.address
        XCTAssertEqual(
            try DemoProcess.run(["run", "nonblocking-connect", "--client", "\(address)"]),
            .init(status: 3, output: "", errors: "lab: \(address): ECONNREFUSED, Connection refused\n"))
    }

    /// A refusal and a wait three times, then silence, a reset, and an answer.
    func testABadDayIsToldByName() throws {
        let ended = try DemoProcess.run(["run", "robust-client", "--quiet", "--port", "0"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        let lines = ended.output.split(separator: "\n").map(String.init)
        XCTAssertEqual(lines.first, "attempt 1: ECONNREFUSED, Connection refused")
        XCTAssert(lines.count > 1 && lines[1].hasPrefix("wait ") && lines[1].hasSuffix(" ms"), ended.output)
        // On a busy machine the server may be there an attempt later.
        XCTAssert(lines.suffix(9).first?.hasSuffix(": connected") == true, ended.output)
        XCTAssertEqual(
            lines.suffix(8),
            [
                "sent 6 bytes", "nothing came within the time", "attempt 1: connected",
                "sent 6 bytes", "recv: ECONNRESET, Connection reset by peer", "attempt 1: connected", "sent 6 bytes",
                "received 6 bytes",
            ])
    }

    func testAChatWithThePeerOfTheDemo() throws {
        XCTAssertEqual(
            try DemoProcess.run(["run", "duplex-chat", "--port", "0"], input: "hello\nsecond line"),
            .init(status: 0, output: "who is there?\nHELLO\nSECOND LINE\nbye\n", errors: ""))
    }

    /// Both speak before either has heard anything, and each ends its own side.
    func testTwoPeopleChat() throws {
        let server = try DemoProcess(["run", "duplex-chat", "--serve", "--port", "0"])
        let address = try server.listening()
        let client = try DemoProcess(["run", "duplex-chat", "--client", "\(address)"])
        client.write("from the client\n")
        server.write("from the server\nand once more\n")
        server.endInput()
        client.endInput()
        XCTAssertEqual(
            try client.finish(), .init(status: 0, output: "from the server\nand once more\n", errors: ""))
        XCTAssertEqual(
            try server.finish(),
            .init(status: 0, output: "listening on \(address)\nfrom the client\n", errors: ""))
        for side in [client, server] { XCTAssertEqual(side.leftBehind, []) }
    }

    func testAChatThatNobodyJoinsEndsWhenAsked() throws {
        let server = try DemoProcess(["run", "duplex-chat", "--serve", "--port", "0"])
        let address = try server.listening()
        server.interrupt(SIGINT)
        XCTAssertEqual(try server.finish(), .init(status: 0, output: "listening on \(address)\n", errors: ""))
        XCTAssertEqual(server.leftBehind, [])
    }

    func testWhatWasMeasuredAsJSON() throws {
        let ended = try DemoProcess.run(["run", "epoll-why", "--json"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        let result = try XCTUnwrap(
            try JSONSerialization.jsonObject(with: Data(ended.output.utf8)) as? [String: Any])
        let silent = try XCTUnwrap(result["oneTalksOthersAreSilent"] as? [[String: Double]])
        let talking = try XCTUnwrap(result["allTalk"] as? [[String: Double]])
        XCTAssertEqual(silent.compactMap { $0["clients"] }, [0, 100, 300, 600, 900])
        XCTAssertEqual(talking.compactMap { $0["clients"] }, [1, 100, 300, 900])
        for point in silent + talking { XCTAssertGreaterThan(point["select"] ?? 0, 0) }
        // That is what the demo is about: on any machine the silent ones cost select far more than half.
        XCTAssertLessThan(silent.last?["ratio"] ?? 1, 0.5)
    }

    /// What does not depend on how busy the machine is: an answer in two writes is two packets.
    func testNagleAsJSON() throws {
        let ended = try DemoProcess.run(["run", "nagle", "--json"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        let result = try XCTUnwrap(
            try JSONSerialization.jsonObject(with: Data(ended.output.utf8)) as? [String: Any])
        let rows = try XCTUnwrap(result["rows"] as? [[String: Any]])
        XCTAssertEqual(
            rows.map { $0["name"] as? String }, ["two-writes", "two-writes-nodelay", "request-server"])
        for row in rows { XCTAssertEqual(row["answers"] as? Int, 25) }
        let packets = rows.compactMap { $0["packets"] as? Double }
        try XCTSkipIf(packets.isEmpty, "this system does not count segments")
        XCTAssertEqual(packets, [2, 2, 1])
    }

    func testWhatLesson13MeasuresAsJSON() throws {
        func result(_ demo: String) throws -> [String: Any] {
            let ended = try DemoProcess.run(["run", demo, "--json"])
            XCTAssertEqual(ended.status, 0, ended.errors)
            return try XCTUnwrap(try JSONSerialization.jsonObject(with: Data(ended.output.utf8)) as? [String: Any])
        }
        let writing = try XCTUnwrap(try result("buffering")["writing"] as? [[String: Any]])
        XCTAssertEqual(writing.map { $0["calls"] as? Int }, [262_144, 4096, 32])
        let file = try XCTUnwrap(try result("sendfile")["file"] as? [[String: Any]])
        XCTAssertEqual(
            file.map { $0["name"] as? String }, ["read and send, 8 KiB", "read and send, 64 KiB", "sendfile"])
        let ways = try XCTUnwrap(try result("connection-pool")["ways"] as? [[String: Any]])
        XCTAssertEqual(ways.map { $0["requests"] as? Int }, [600, 600])
        XCTAssertEqual(ways.first?["connects"] as? Int, 600)
        XCTAssertLessThanOrEqual(ways.last?["connects"] as? Int ?? 600, 4)
    }

    func testMeasuringEndsWithCtrlC() throws {
        for demo in ["epoll-why", "buffering", "connection-pool"] {
            let measuring = try DemoProcess(["run", demo])
            _ = measuring.firstLine()
            measuring.interrupt(SIGINT)
            XCTAssertEqual(try measuring.finish().status, 0)
            XCTAssertEqual(measuring.leftBehind, [])
        }
    }

    func testABadNetworkIsOvercome() throws {
        for seed in ["1", "7", "2026"] {
            let ended = try DemoProcess.run(["run", "udp-lossy", "--port", "0", "--seed", seed], input: "a\nb\nc\n")
            XCTAssertEqual(ended, .init(status: 0, output: "A\nB\nC\n", errors: ""), "seed \(seed)")
        }
    }

    // MARK: --serve

    func testServersAnswerOthersAndStopWhenAsked() throws {
        let exchanges: [(demo: String, type: Int32, question: [UInt8], answer: String)] = [
            ("udp-echo", SOCK_DGRAM, Array("hello".utf8), "HELLO"),
            ("tcp-echo", SOCK_STREAM, Array("hello\n".utf8), "HELLO\n"),
            ("tcp-threads", SOCK_STREAM, Array("hello\n".utf8), "HELLO\n"),
            ("tcp-fork", SOCK_STREAM, Array("hello\n".utf8), "HELLO\n"),
            ("framing", SOCK_STREAM, [0, 0, 0, 2] + Array("hi".utf8), "\0\0\0\u{2}hi"),
        ]
        for (demo, type, question, answer) in exchanges {
            for signal in [SIGINT, SIGTERM] {
                let server = try DemoProcess(["run", demo, "--serve", "--port", "0"])
                let address = try server.listening()
                let client = try PlainSocket.connected(type, to: address)
                try client.send(question)
                XCTAssertEqual(try client.receive(answer.utf8.count), answer, demo)
                // The client is still connected.
                server.interrupt(signal)
                let ended = try server.finish()
                XCTAssertEqual(
                    ended, .init(status: 0, output: "listening on \(address)\n", errors: ""),
                    "\(demo), signal \(signal)")
                XCTAssertEqual(server.leftBehind, [], demo)
            }
        }
    }

    func testServersAndClientsOfTheLabFindEachOther() throws {
        for (server, client) in [
            ("udp-echo", "udp-client"), ("udp-lossy", "udp-lossy"), ("tcp-echo", "tcp-client"),
            ("tcp-threads", "tcp-echo"),
            ("tcp-fork", "tcp-threads"),
        ] {
            let running = try DemoProcess(["run", server, "--serve", "--port", "0"])
            let address = try running.listening()
            XCTAssertEqual(
                try DemoProcess.run(["run", client, "--client", "\(address)"], input: "hello\n"),
                .init(status: 0, output: "HELLO\n", errors: ""), "\(client) to \(server)")
            running.interrupt(SIGTERM)
            XCTAssertEqual(try running.finish().status, 0)
            XCTAssertEqual(running.leftBehind, [], server)
        }
    }

    func testBroadcastReachesRespondersThatSomebodyElseStarted() throws {
        let responders = try DemoProcess(["run", "udp-broadcast", "--serve", "--port", "0"])
        let address = try responders.listening()
        let found = try DemoProcess.run(["run", "udp-broadcast", "--client", "\(address)"])
        XCTAssertEqual(found.output.split(separator: "\n").count, 3, found.output)
        responders.interrupt(SIGINT)
        XCTAssertEqual(try responders.finish().status, 0)
        XCTAssertEqual(responders.leftBehind, [])
    }

    func testAFileTravelsBetweenTwoLabs() throws {
        let folder = try temporaryFolder()
        defer { remove(folder) }
        let content = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
        try content.write(to: folder.appendingPathComponent("picture.bin"))
        let server = try DemoProcess(["run", "file-transfer", "--serve", "--port", "0"], folder: folder)
        let address = try server.listening()
        let sent = try DemoProcess.run(
            ["run", "file-transfer", "--client", "\(address)"], input: "picture.bin\n", folder: folder)
        XCTAssertEqual(sent.status, 0, sent.errors)
        let received = folder.appendingPathComponent("received/picture.bin")
        try waitUntil("the file has been received") { FileManager.default.fileExists(atPath: received.path) }
        XCTAssertEqual(try Data(contentsOf: received), content)
        server.interrupt(SIGTERM)
        XCTAssertEqual(try server.finish().status, 0)
        XCTAssertEqual(server.leftBehind, [])
    }

    func testIPv6() throws {
        let server = try DemoProcess(["run", "tcp-echo", "--serve", "--host", "::1", "--port", "0"])
        let address = try server.listening()
        XCTAssertEqual(address.host, "::1")
        XCTAssertEqual(
            try DemoProcess.run(["run", "tcp-client", "--client", "\(address)"], input: "six").output, "SIX\n")
        server.interrupt(SIGINT)
        XCTAssertEqual(try server.finish().status, 0)
    }

    // MARK: Other people's servers

    func testUDPClientAsksAnyServer() throws {
        let server = try PlainSocket.bound(SOCK_DGRAM)
        let client = try DemoProcess(["run", "udp-client", "--client", "\(try server.address)"])
        client.write("over?\n")
        var buffer = [UInt8](repeating: 0, count: 64)
        let (count, sender) = SocketAddress.received { recvfrom(server.descriptor, &buffer, 64, 0, $0, $1) }
        XCTAssertEqual(String(decoding: buffer.prefix(max(0, count)), as: UTF8.self), "over?")
        _ = try XCTUnwrap(sender).withSockaddr { sendto(server.descriptor, "out", 3, 0, $0, $1) }
        XCTAssertEqual(try client.finish(), .init(status: 0, output: "out\n", errors: ""))
    }

    func testTCPClientAsksAnyServer() throws {
        let server = try PlainSocket.bound(SOCK_STREAM)
        let client = try DemoProcess(["run", "tcp-client", "--client", "\(try server.address)"])
        client.write("over?\n")
        let connection = try server.accept()
        // It half-closes: the end of the stream is the end of the question.
        XCTAssertEqual(try connection.receive(100), "over?")
        try connection.send("out")
        shutdown(connection.descriptor, SHUT_WR)
        XCTAssertEqual(try client.finish(), .init(status: 0, output: "out\n", errors: ""))
    }

    func testAServerThatHangsUpIsNoAnswer() throws {
        let server = try PlainSocket.bound(SOCK_STREAM)
        let client = try DemoProcess(["run", "tcp-echo", "--client", "\(try server.address)"])
        client.write("hello\n")
        do {
            let connection = try server.accept()
            XCTAssertEqual(try connection.receive(6), "hello\n")
        }
        let ended = try client.finish()
        XCTAssertEqual(ended.status, 3)
        XCTAssertEqual(ended.output, "")
        XCTAssertEqual(ended.errors, "lab: The server ended the connection before its answer was whole.\n")
    }

    func testNobodyThere() throws {
        let clients: [(demo: String, type: Int32, call: String)] = [
            ("udp-client", SOCK_DGRAM, "recvfrom"), ("tcp-client", SOCK_STREAM, "connect"),
        ]
        for (demo, type, call) in clients {
            // The port is held, and nobody can be reached at it: this TCP socket does not listen, and this UDP socket is
            // connected elsewhere.
            let holder = try PlainSocket(type)
            let any = try SocketAddress(host: "127.0.0.1", port: 0)
            try check("bind", any.withSockaddr { bind(holder.descriptor, $0, $1) })
            let address = try holder.address
            let elsewhere = try SocketAddress(host: "127.0.0.2", port: 1)
            if type == SOCK_DGRAM {
                try check("connect", elsewhere.withSockaddr { connect(holder.descriptor, $0, $1) })
            }
            XCTAssertEqual(
                try DemoProcess.run(["run", demo, "--client", "\(address)"], input: "hello\n"),
                .init(status: 3, output: "", errors: "lab: Nobody listens on \(address) (\(call): ECONNREFUSED).\n"),
                demo)
        }
    }

    // MARK: A copy of the program

    func testACopyElsewhereRunsEveryDemo() throws {
        let folder = try temporaryFolder()
        defer { remove(folder) }
        let copy = folder.appendingPathComponent("a copy")
        try FileManager.default.copyItem(at: DemoProcess.lab, to: copy)
        for demo in Demo.all {
            let isClient = ["udp-client", "tcp-client", "ws-client"].contains(demo.id)
            let port = demo.port == nil || isClient ? [] : ["--port", "0"]
            let input =
                isClient || demo.id == "byte-order" || demo.id == "addresses"
                ? "" : demo.id == "http-client" ? "/greeting\n" : "hello\n"
            let ended = try DemoProcess.run(["run", demo.id] + port, input: input, lab: copy, folder: folder)
            XCTAssertEqual(ended.status, 0, "\(demo.id): \(ended.errors)")
            XCTAssert(isClient || !ended.output.isEmpty, demo.id)
        }
        let listed = try DemoProcess.run(["demos"], lab: copy, folder: folder)
        XCTAssertEqual(listed.status, 0)
        for demo in Demo.all { XCTAssert(listed.output.contains(demo.id), demo.id) }
    }

    // MARK: Helpers

    private func temporaryFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("demo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func remove(_ folder: URL) {
        do { try FileManager.default.removeItem(at: folder) } catch { XCTFail("\(error)") }
    }

    /// For what no call tells: looks again and again.
    private func waitUntil(_ what: String, _ isSo: () -> Bool) throws {
        let deadline = Deadline()
        while !isSo() {
            guard !deadline.hasPassed else { return XCTFail("not in time: \(what)") }
            poll(nil, 0, 5)
        }
    }
}
