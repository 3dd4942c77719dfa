import Foundation
import Sockets
import XCTest

/// `lab run unix-echo`, `ping` and `traceroute`: what a script gets, what is refused, and what stays behind.
final class UnixAndRawDemoTests: XCTestCase {
    private let path = NSTemporaryDirectory() + "/lab-\(UUID().uuidString.prefix(8)).sock"

    override func tearDown() { unlink(path) }

    func testUnixEchoAnswersAndLeavesNoFile() throws {
        XCTAssertEqual(
            try DemoProcess.run(["run", "unix-echo", "--path", path], input: "hello\n你好\n"),
            .init(status: 0, output: "hello\n你好\n", errors: ""))
        XCTAssertFalse(FileManager.default.fileExists(atPath: path))
    }

    func testUnixEchoRefusesAPathThatIsTakenOrTooLong() throws {
        XCTAssert(FileManager.default.createFile(atPath: path, contents: Data("notes".utf8)))
        let taken = try DemoProcess.run(["run", "unix-echo", "--path", path], input: "hello\n")
        XCTAssertEqual(taken.status, 3)
        XCTAssert(taken.errors.contains("is taken"), taken.errors)
        XCTAssertEqual(FileManager.default.contents(atPath: path), Data("notes".utf8))

        let long = "/tmp/" + String(repeating: "x", count: 103)
        let tooLong = try DemoProcess.run(["run", "unix-echo", "--path", long], input: "hello\n")
        XCTAssertEqual(tooLong.status, 3)
        XCTAssert(tooLong.errors.contains("The path has 108 bytes"), tooLong.errors)
    }

    func testPingAnswersFromThisMachine() throws {
        try needsRawSockets()
        let ended = try DemoProcess.run(["run", "ping", "127.0.0.1", "--quiet"])
        XCTAssertEqual(ended.status, 0, ended.errors)
        XCTAssert(ended.output.contains("reply 1 from 127.0.0.1  "), ended.output)
        XCTAssert(ended.output.contains("3 sent, 3 answered, 0% lost; least "), ended.output)
    }

    func testTracerouteFindsThisMachine() throws {
        try needsRawSockets()
        let ended = try DemoProcess.run(["run", "traceroute", "127.0.0.1", "--quiet"])
        XCTAssertEqual(ended, .init(status: 0, output: "1  127.0.0.1\n", errors: ""))
    }

    /// Four machines in a row, each a network of its own; gone with the last process in them.
    func testTracerouteFindsRealRouters() throws {
        try XCTSkipUnless(geteuid() == 0, "networks of their own are root's")
        let script = """
            set -e
            mount -t tmpfs tmpfs /run
            mkdir /run/netns
            for n in a b c d; do ip netns add $n; ip -n $n link set lo up; done
            link() {
                ip link add v$1$2 netns $1 type veth peer name v$2$1 netns $2
                ip -n $1 addr add 10.$3.0.1/24 dev v$1$2; ip -n $2 addr add 10.$3.0.2/24 dev v$2$1
                ip -n $1 link set v$1$2 up; ip -n $2 link set v$2$1 up
            }
            link a b 1; link b c 2; link c d 3
            for n in b c; do ip netns exec $n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'; done
            ip -n a route add default via 10.1.0.2; ip -n b route add 10.3.0.0/24 via 10.2.0.2
            ip -n c route add 10.1.0.0/24 via 10.2.0.1; ip -n d route add default via 10.3.0.1
            echo built
            exec ip netns exec a "$0" run traceroute 10.3.0.2 --quiet
            """
        let unshare = URL(fileURLWithPath: "/usr/bin/unshare")
        try XCTSkipUnless(FileManager.default.isExecutableFile(atPath: unshare.path), "there is no unshare")
        let process = try DemoProcess(["-nm", "sh", "-c", script, DemoProcess.lab.path], lab: unshare)
        let ended = try process.finish()
        try XCTSkipUnless(ended.output.hasPrefix("built\n"), "no networks here: \(ended.errors)")
        XCTAssertEqual(ended.output, "built\n1  10.1.0.2\n2  10.2.0.2\n3  10.3.0.2\n", ended.errors)
    }

    func testWhatIsNoHostIsRefused() throws {
        try needsRawSockets()
        let six = try DemoProcess.run(["run", "ping", "::1"])
        XCTAssertEqual(six.status, 3)
        XCTAssert(six.errors.contains("is no IPv4 address"), six.errors)
        XCTAssertEqual(try DemoProcess.run(["run", "ping", "no..host"]).status, 2)
        XCTAssertEqual(try DemoProcess.run(["run", "tcp-echo", "127.0.0.1"]).status, 2)
    }

    private func needsRawSockets() throws {
        let descriptor = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
        try XCTSkipIf(descriptor < 0, "no raw sockets here: \(errorText(errno))")
        close(descriptor)
    }
}
