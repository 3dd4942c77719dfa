// What the tap records of each call: the transcript of each group of calls is compared as a whole.
import Course
import Sockets
import Wire
import XCTest

@testable import GraderKit

final class RecordTests: ProbeTestCase {
    private func assertTranscript(
        _ entry: String, _ expected: String, file: StaticString = #filePath, line: UInt = #line
    ) throws {
        let (_, timeline) = try run(entry)
        XCTAssertEqual(timeline.transcript.joined(separator: "\n"), expected, file: file, line: line)
        XCTAssertEqual(timeline.dropped, 0)
        XCTAssertTrue(timeline.calls.allSatisfy { $0.entered <= $0.returned ?? 0 }, "in time", file: file, line: line)
    }

    /// The check's own peers go when it has failed: what the program does then is no reason.
    func testReportEndsWithTheFailure() {
        let verdict = judge { trial in
            let server = try trial.serve("echo")
            let client = try server.connect()
            defer { client.close() }
            try client.send("x")
            try client.expect("x")
            _ = try server.subject.waitForTimeline { timeline in
                timeline.blocked.first { $0.name == "recv" && now() > $0.entered + 200_000_000 }
            }
            throw Failure(expected: "this", got: "that")
        }
        let last = verdict.report?.calls.last ?? ""
        XCTAssertTrue(last.hasPrefix("recv(") && last.contains("still blocked"), "\(verdict.report?.calls ?? [])")
    }

    func testStreamCalls() throws {
        try assertTranscript(
            "stream-calls",
            """
            socket(AF_INET, SOCK_STREAM) = 3
            bind(3, 127.0.0.1:0) = 0   at 127.0.0.1:P1
            listen(3, 5) = 0   at 127.0.0.1:P1
            getsockname(3) = 0   127.0.0.1:P1
            socket(AF_INET, SOCK_STREAM) = 4
            connect(4, 127.0.0.1:P1) = 0   own address 127.0.0.1:P2
            accept(3) = 5   from 127.0.0.1:P2
            getpeername(5) = 0   127.0.0.1:P2
            send(4, "hello\\n", 6, MSG_NOSIGNAL) = 6
            recv(5, …, 100) = 6 "hello\\n"
            write(5, "a\\x00b", 3) = 3
            read(4, …, 50) = 3 "a\\x00b"
            shutdown(4, SHUT_WR) = 0
            recv(5, …, 100) = 0
            close(5) = 0
            close(4) = 0
            socket(AF_INET, SOCK_STREAM) = 4
            connect(4, 127.0.0.1:P1) = 0   own address 127.0.0.1:P3
            accept4(3) = 5   from 127.0.0.1:P3
            """)
    }

    /// Whoever made the socket: that says what can reach it.
    func testBindAndListenTellTheTypeOfTheSocket() throws {
        let stream = try run("stream-calls").timeline
        XCTAssertEqual(stream.calls("bind").map { Int32($0.arguments.0) }, [SOCK_STREAM])
        XCTAssertEqual(stream.calls("listen").map { Int32($0.arguments.1) }, [SOCK_STREAM])
        let datagrams = try run("datagram-calls").timeline
        XCTAssertEqual(datagrams.calls("bind").map { Int32($0.arguments.0) }, [SOCK_DGRAM, SOCK_DGRAM])
    }

    /// The sender is named whether the program asked for it or not.
    func testDatagramCalls() throws {
        try assertTranscript(
            "datagram-calls",
            """
            socket(AF_INET, SOCK_DGRAM) = 3
            bind(3, 127.0.0.1:0) = 0   at 127.0.0.1:P1
            socket(AF_INET, SOCK_DGRAM) = 4
            bind(4, 127.0.0.1:0) = 0   at 127.0.0.1:P2
            getsockname(3) = 0   127.0.0.1:P1
            sendto(4, "ping", 4, → 127.0.0.1:P1) = 4
            sendto(4, "ping", 4, → 127.0.0.1:P1) = 4
            sendto(4, "ping", 4, → 127.0.0.1:P1) = 4
            sendto(4, "ping", 4, → 127.0.0.1:P1) = 4
            recvfrom(3, …, 100) = 4 "ping"   from 127.0.0.1:P2
            recvfrom(3, …, 2, MSG_TRUNC) = 4 "pi"…   from 127.0.0.1:P2
            recv(3, …, 100) = 4 "ping"   from 127.0.0.1:P2
            recvmsg(3, …, 100) = 4 "ping"   from 127.0.0.1:P2
            connect(4, 127.0.0.1:P1) = 0   own address 127.0.0.1:P2
            send(4, "", 0) = 0
            recvfrom(3, …, 100) = 0   from 127.0.0.1:P2
            """)
    }

    func testVectorCalls() throws {
        try assertTranscript(
            "vector-calls",
            """
            socket(AF_INET, SOCK_STREAM) = 3
            bind(3, 127.0.0.1:0) = 0   at 127.0.0.1:P1
            listen(3, 5) = 0   at 127.0.0.1:P1
            getsockname(3) = 0   127.0.0.1:P1
            socket(AF_INET, SOCK_STREAM) = 4
            connect(4, 127.0.0.1:P1) = 0   own address 127.0.0.1:P2
            accept(3) = 5   from 127.0.0.1:P2
            close(3) = 0
            writev(4, "onetwo", 6 in 2 pieces) = 6
            readv(5, …, 6) = 6 "onetwo"
            sendmsg(4, "onetwo", 6 in 2 pieces, MSG_NOSIGNAL) = 6
            recvmsg(5, …, 6) = 6 "onetwo"
            """)
    }

    func testDescriptorCalls() throws {
        try assertTranscript(
            "descriptor-calls",
            """
            socket(AF_INET, SOCK_DGRAM) = 3
            fcntl(3, F_GETFL) = 2
            fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
            setsockopt(3, SO_REUSEADDR, 1) = 0
            getsockopt(3, SO_REUSEADDR) = 0
            ioctl(3, FIONREAD) = 0
            dup(3) = 4
            dup2(3, 10) = 10
            dup3(3, 11) = 11
            close(10) = 0
            socketpair(AF_UNIX, SOCK_STREAM) = 0
            """)
    }

    func testWaitCalls() throws {
        try assertTranscript(
            "wait-calls",
            """
            socketpair(AF_UNIX, SOCK_STREAM) = 0
            write(3, "x", 1) = 1
            select({4}, no timeout) = 1
            pselect({4}, 2000 ms) = 1
            poll(4, 3000 ms) = 1
            ppoll(4, 2000 ms) = 1
            nanosleep(1 ms) = 0
            usleep(2 ms) = 0
            sleep(0 ms) = 0
            """)
    }

    func testEpollCalls() throws {
        try assertTranscript(
            "epoll-calls",
            """
            epoll_create() = 3
            epoll_create1() = 4
            epoll_ctl(EPOLL_CTL_ADD, 5, EPOLLIN) = 0
            epoll_wait(3, 4000 ms) = 1   0 EPOLLIN
            epoll_pwait(3, no timeout) = 1   0 EPOLLIN
            close(4) = 0
            """)
    }

    func testFailingCalls() throws {
        try assertTranscript(
            "failing-calls",
            """
            recv(77, …, 10) = -1 EBADF
            read(77, …, 10) = -1 EBADF
            bind(77, ?) = -1 EBADF
            accept(77) = -1 EBADF
            recvmsg(77, …, 0) = -1 EBADF
            socket(AF_INET, SOCK_DGRAM) = 3
            recv(3, …, 10, MSG_DONTWAIT) = -1 EAGAIN
            poll(0 ms) = -1 EFAULT
            socketpair(AF_UNIX, SOCK_STREAM) = 0
            write(4, "x", 1) = 1
            read(5, …, 10) = 1 "x"
            """)
    }

    /// The program finds in errno what libc put there, and after a success what was there before.
    func testErrnoIsTheProgramsOwn() throws {
        let codes = [EBADF, EBADF, EBADF, EBADF, EBADF, EAGAIN, EFAULT, 0].map { Value.int(Int($0)) }
        XCTAssertEqual(try run("failing-calls").value, .list(codes))
    }

    /// Only what goes over sockets is recorded: not files, not what the program prints.
    func testFilesAndStandardOutputAreLeftOut() throws {
        try assertTranscript(
            "file-calls",
            """
            socketpair(AF_UNIX, SOCK_STREAM) = 0
            sendfile(4, …, 9) = 9
            """)
    }

    func testOtherCalls() throws {
        let transcript = try run("other-calls").timeline.transcript.map { $0.replacing(/[0-9]{2,}/, with: "N") }
        XCTAssertEqual(
            transcript,
            [
                "signal(SIGPIPE, SIG_IGN) = 0", "sigaction(SIGHUP, SIG_IGN) = 0", "kill(N, 0) = 0",
                "getaddrinfo() = 0", "freeaddrinfo() = 0", "pthread_create() = 0",
            ])
    }

    /// The most useful record: it was entered, and never came back.
    func testCallThatBlocksStaysOpen() throws {
        try withTrial { trial in
            let subject = try trial.launch()
            _ = try trial.begin("block", [], in: subject)
            let blocked = try subject.waitForTimeline { $0.calls("accept").first }
            let call = try XCTUnwrap(blocked)
            XCTAssertTrue(call.isBlocked)
            XCTAssertEqual(call.callText, "accept(3)")
            XCTAssertEqual(
                call.text(now: call.entered + 10_000_000_000), "accept(3) ⋯ still blocked after 10.0 s")
        }
    }

    func testForkedChildrenHaveTimelinesOfTheirOwn() throws {
        let (value, timeline) = try run("forked-calls")
        guard case .list(let numbers) = value, case .int(let child) = numbers[0] else { return XCTFail("\(value)") }
        XCTAssertEqual(numbers[1], .int(7))
        let parents = timeline.calls.filter { $0.process != Int32(child) && $0.name != "close" && $0.name != "socket" }
        XCTAssertEqual(parents.map(\.name), ["fork", "waitpid"])
        XCTAssertEqual(parents.map(\.result), [Int64(child), Int64(child)])
        let childs = timeline.calls.filter { $0.process == Int32(child) }
        XCTAssertTrue(childs.allSatisfy { $0.thread == $0.process }, "a thread of its own")
        XCTAssertEqual(childs.map(\.name), ["socket", "close", "fork", "waitpid"])
        let grandchild = Int32(childs[2].result)
        XCTAssertEqual(
            timeline.calls.filter { $0.process == grandchild }.map(\.callText),
            ["socket(AF_INET6, SOCK_STREAM)", "close(3)"])
        XCTAssertTrue(timeline.blocked.isEmpty, "\(timeline.blocked.map(\.callText))")
    }

    func testThreadsAreToldApart() throws {
        let timeline = try run("threads", .int(20), .int(50)).timeline
        let byThread = Dictionary(grouping: timeline.calls("shutdown"), by: \.thread)
        XCTAssertEqual(byThread.count, 20)
        for calls in byThread.values {
            XCTAssertEqual(calls.count, 50)
            XCTAssertEqual(Set(calls.map(\.descriptor)).count, 1)
            XCTAssertTrue(calls.allSatisfy { $0.error == EBADF })
        }
    }

    /// The tap takes no lock that a forked child could find closed.
    func testForkInAProgramWithThreads() throws {
        XCTAssertEqual(try run("fork-in-threads", .int(100)).value, .int(100))
    }

    /// A handler's calls do not disturb those that it interrupts.
    func testCallsInASignalHandler() throws {
        let timeline = try run("calls-in-a-handler").timeline
        let own = timeline.calls.filter { $0.descriptor == 777 }
        let handlers = timeline.calls.filter { $0.descriptor == 888 }
        XCTAssertEqual(own.count, 400)
        XCTAssertGreaterThan(handlers.count, 0)
        XCTAssertTrue((own + handlers).allSatisfy { $0.result == -1 && $0.error == EBADF })
    }

    // MARK: Libraries

    private static let waits: Set = ["epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "select", "read", "write"]

    /// libdispatch waits in an `epoll_wait` of its own, and is neither recorded nor disturbed.
    func testDispatchSourceIsLeftAlone() throws {
        let plan = FaultPlan.fail(.waitReady, every: 1, with: EINTR)
        let (value, timeline) = try run("dispatch-source", plan: plan)
        XCTAssertEqual(value, .bytes(Array("abc".utf8)))
        XCTAssertEqual(timeline.calls("recv").map(\.data), [[97], [98], [99]])
        XCTAssertEqual(timeline.calls.filter { RecordTests.waits.contains($0.name) }.map(\.callText), [])
    }

    func testFileHandleIsLeftAlone() throws {
        let plan = FaultPlan.fail(.receive, every: 1, with: EIO) + FaultPlan.fail(.send, every: 1, with: EIO)
        let (value, timeline) = try run("file-handle", plan: plan)
        XCTAssertEqual(value, .bytes(Array("handled".utf8)))
        XCTAssertEqual(timeline.calls.filter { $0.isReceive || $0.isSend }.map(\.callText), [])
    }

    func testURLSessionIsLeftAlone() throws {
        try withTrial { trial in
            let listener = try trial.listen()
            let plan =
                FaultPlan.fail(.connect, every: 1, with: ECONNREFUSED)
                + FaultPlan.fail(.socket, every: 1, with: EMFILE)
            let call = try trial.begin(
                "url-session", [.string("http://\(listener.address)/")], plan: plan)
            let peer = try listener.accept(from: call)
            var request: [UInt8] = []
            while !String(decoding: request, as: UTF8.self).hasSuffix("\r\n\r\n") {
                guard case .bytes(let part) = try peer.receive(1000, until: Deadline(), expected: "a request") else {
                    return XCTFail("no request")
                }
                request += part
            }
            try peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            peer.close()
            XCTAssertEqual(try call.value(), .bytes(Array("ok".utf8)))
            call.subject.catchUp()
            XCTAssertEqual(call.subject.timeline.calls.map(\.callText), [])
        }
    }

    /// A library's thread that runs the program's code: what that calls counts.
    func testCallsOnAThreadOfALibraryCount() throws {
        let timeline = try run("thread-of-foundation").timeline
        XCTAssertEqual(timeline.transcript, ["socket(AF_INET, SOCK_DGRAM) = 3", "close(3) = 0"])
    }
}
