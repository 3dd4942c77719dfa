import Course
import Foundation
import GraderKit
import Sockets
import XCTest

@testable import LabCore

/// What a demo cannot do, said in one sentence, with the exit code that fits: 2 used wrongly, 3 could not run, 1 the
/// student's own program.
final class DemoRefusalTests: XCTestCase {
    // MARK: Taken ports

    func testATakenPortIsNamedWithWhatToDo() throws {
        let demos: [(name: String, type: Int32)] = [
            ("udp-echo", SOCK_DGRAM), ("udp-lossy", SOCK_DGRAM), ("tcp-echo", SOCK_STREAM),
            ("tcp-threads", SOCK_STREAM),
            ("tcp-fork", SOCK_STREAM), ("handshake", SOCK_STREAM), ("sticky", SOCK_STREAM), ("framing", SOCK_STREAM),
            ("file-transfer", SOCK_STREAM), ("nonblocking-connect", SOCK_STREAM), ("duplex-chat", SOCK_STREAM),
            ("select-echo", SOCK_STREAM), ("epoll-echo", SOCK_STREAM), ("epoll-edge", SOCK_STREAM),
            ("epoll-idle", SOCK_STREAM), ("robust-client", SOCK_STREAM),
        ]
        for (demo, type) in demos {
            let holder = try PlainSocket.bound(type)
            let port = try holder.address.port
            let ended = try DemoProcess.run(["run", demo, "--port", "\(port)", "--quiet"], input: "hello\n")
            XCTAssertEqual(
                ended,
                .init(
                    status: 3, output: "",
                    errors:
                        "lab: Port \(port) of 127.0.0.1 is taken by another program: choose another with --port, or "
                        + "--port 0 to let the system choose.\n"), demo)
        }
        let everybody = try PlainSocket.bound(SOCK_DGRAM, host: "127.255.255.255")
        let ended = try DemoProcess.run(["run", "udp-broadcast", "--port", "\(try everybody.address.port)", "--quiet"])
        XCTAssertEqual(ended.status, 3)
        XCTAssert(ended.errors.contains("is taken by another program"), ended.errors)
    }

    func testATakenPortIsNamedInChinese() throws {
        let holder = try PlainSocket.bound(SOCK_STREAM)
        let port = try holder.address.port
        let ended = try DemoProcess.run(["run", "tcp-echo", "--serve", "--port", "\(port)"], language: "zh-Hans")
        XCTAssertEqual(
            ended,
            .init(
                status: 3, output: "",
                errors: "lab: 127.0.0.1 的端口 \(port) 已被别的程序占用：请用 --port 换一个，或者用 --port 0 让系统选择。\n"))
    }

    func testAnAddressOfAnotherMachineIsRefused() throws {
        // RFC 5737: nobody has it.
        let ended = try DemoProcess.run(["run", "tcp-echo", "--serve", "--host", "192.0.2.1", "--port", "0"])
        XCTAssertEqual(
            ended,
            .init(
                status: 3, output: "",
                errors: "lab: 192.0.2.1 is not an address of this machine: a server can only bind one that is.\n"))
    }

    // MARK: Wrong use

    func testWrongUseIsOneSentence() throws {
        let cases: [(words: [String], message: String)] = [
            (["udp-eco"], "There is no demo udp-eco. Did you mean udp-echo?"),
            (["qwertyuiop"], "There is no demo qwertyuiop. `lab demos` lists them."),
            ([], "Which demo? For example: lab run udp-echo. `lab demos` lists them."),
            (["tcp-echo", "--port", "70000"], "A port is a number from 0 to 65535, not 70000."),
            (["tcp-echo", "--port", "http"], "A port is a number from 0 to 65535, not http."),
            (
                ["tcp-echo", "--host", "1.2.3.4.5"],
                "1.2.3.4.5 is no address, and no host of that name is known: write 127.0.0.1, ::1 or a name."
            ),
            (
                ["tcp-client", "--client", "127.0.0.1"],
                "--client takes a host and a port, as in 127.0.0.1:12000 or [::1]:12000, not 127.0.0.1."
            ),
            (
                ["tcp-echo", "--serve", "--client", "127.0.0.1:12000"],
                "--serve and --client are two programs: run each in a window of its own."
            ),
            (["byte-order", "--serve"], "byte-order has no --serve: it has no server of its own."),
            (["byte-order", "--port", "1"], "byte-order has no --port: it needs no port."),
            (["sticky", "--mine"], "sticky has no --mine: there is no exercise for what it shows."),
            (["handshake", "--client", "127.0.0.1:1"], "handshake has no --client: it plays both sides itself."),
            (["udp-echo", "--seed", "1"], "udp-echo has no --seed: nothing in it is left to chance."),
            (["epoll-why", "--port", "1"], "epoll-why has no --port: it needs no port."),
            (["tcp-echo", "--json"], "tcp-echo has no --json: it measures nothing."),
            (["udp-lossy", "--seed", "-1"], "--seed takes a whole number, not -1."),
        ]
        for (words, message) in cases {
            let ended = try DemoProcess.run(["run"] + words)
            XCTAssertEqual(
                ended, .init(status: 2, output: "", errors: "lab: \(message)\n"), words.joined(separator: " "))
        }
    }

    func testABadLineInAPipeIsWrongUse() throws {
        let ended = try DemoProcess.run(["run", "byte-order", "--quiet"], input: "twelve\n")
        XCTAssertEqual(ended.status, 2)
        XCTAssertEqual(
            ended.errors, "lab: twelve is no number from 0 to 18446744073709551615: write 12000 or 0x2ee0.\n")
    }

    // MARK: --mine

    /// The student's programs as they are when nothing has been written in them, which a copy of the sources keeps.
    func testMineSaysWhichFileToOpen() throws {
        let starts: [(demo: String, slug: String, file: String)] = [
            ("udp-echo", "03-udp", "UppercaseServer.swift"), ("tcp-echo", "04-tcp", "UppercaseServer.swift"),
            ("tcp-threads", "04-tcp", "ThreadedServer.swift"), ("tcp-fork", "04-tcp", "ForkingServer.swift"),
            ("framing", "05-framing", "FramedEchoServer.swift"), ("udp-broadcast", "03-udp", "Discover.swift"),
            ("file-transfer", "05-framing", "SendFile.swift"), ("byte-order", "01-byte-order", "ByteOrder.swift"),
            ("addresses", "02-addresses", "Endpoint.swift"), ("select-echo", "06-select", "SelectServer.swift"),
            ("nonblocking-connect", "06-select", "ConnectWithTimeout.swift"),
            ("duplex-chat", "06-select", "DuplexChat.swift"), ("epoll-why", "07-epoll", "EpollServer.swift"),
            ("connection-pool", "13-throughput", "ConnectionPool.swift"),
            ("robust-client", "11-errors", "ConnectWithRetry.swift"),
            ("pool-echo", "12-concurrency", "PoolServer.swift"),
            ("async-echo", "12-concurrency", "AsyncServer.swift"),
            ("options", "10-options", "ReadOptions.swift"), ("nagle", "10-options", "RequestServer.swift"),
            ("behind-nginx", "16-production", "StopSignal.swift"),
        ]
        for (name, slug, file) in starts {
            let demo = try Demo.find(name)
            let program = Program.products.appendingPathComponent("Lesson" + slug.prefix(2)).path
            try XCTSkipUnless(isUnstarted(slug, file), "\(slug)/\(file) has been worked on")
            var options = DemoOptions()
            options.mine = true
            options.quiet = true
            options.port = demo.port == nil ? nil : 0
            let screen = DemoScreen(columns: 80, color: false, inputIsTerminal: false, outputIsTerminal: false)
            XCTAssertThrowsError(
                try demo.run(
                    options, on: screen, executable: DemoProcess.lab.path, mine: program, catalogue: nil), name
            ) { error in
                let error = error as? CommandError
                XCTAssertEqual(error?.exit, .notPassed, name)
                let place = say("Exercises/\(slug)/\(file):", "Exercises/\(slug)/\(file):")
                XCTAssert(error?.description.contains(place) == true, "\(name): \(error?.description ?? "")")
            }
        }
    }

    private func isUnstarted(_ slug: String, _ file: String) throws -> Bool {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Exercises/\(slug)/\(file)").standardizedFileURL
        let text = try String(contentsOf: path, encoding: .utf8)
        return text.split(separator: "\n").contains { $0.trimmingCharacters(in: .whitespaces).hasPrefix("todo(") }
    }

    // MARK: Options

    func testEndpoints() throws {
        XCTAssertEqual(try DemoOptions.endpoint("127.0.0.1:12000"), Endpoint(host: "127.0.0.1", port: 12000))
        XCTAssertEqual(try DemoOptions.endpoint("[::1]:80"), Endpoint(host: "::1", port: 80))
        XCTAssertEqual(try DemoOptions.endpoint("localhost:80").port, 80)
        for text in [
            "", ":", "127.0.0.1", "127.0.0.1:", ":80", "::1:80", "127.0.0.1:0", "127.0.0.1:65536", "[::1]", "[]:1",
        ] {
            XCTAssertThrowsError(try DemoOptions.endpoint(text), text) {
                XCTAssertEqual(($0 as? CommandError)?.exit, .usage, text)
            }
        }
    }
}
