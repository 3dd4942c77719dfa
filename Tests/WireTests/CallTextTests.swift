// Calls as text, in both languages.
import Course
import Sockets
import SyntheticTap
import Wire
import XCTest

final class CallTextTests: XCTestCase {
    override func tearDown() { Language.current = .english }

    /// One of each call, as they come from a tap.
    private var calls: [Call] {
        var tap = Recorder()
        let hello = Array("hello".utf8)
        let address = SocketAddress.local(8000)
        let client = SocketAddress.local(40_000)
        let stream = Int64(SOCK_STREAM as Int32)
        var on: Int32 = 1
        let one = withUnsafeBytes(of: &on) { Array($0) }
        tap.call("socket", with: [Int64(AF_INET), stream], result: 3)
        tap.call("socketpair", with: [Int64(AF_UNIX), Int64(SOCK_DGRAM as Int32)], result: 0)
        tap.call("bind", 3, with: [stream], length: 16, to: address, result: 0, found: address)
        tap.call("bind", 3, with: [stream], length: 16, to: .local(0), result: 0, found: .local(41_000))
        tap.call("bind", 3, with: [stream], length: 16, to: address, result: -1, error: EADDRINUSE)
        tap.call("listen", 3, with: [128, stream], result: 0, found: address)
        tap.call("accept", 3, result: 4, found: client)
        tap.call("accept", 3, result: -1, error: ECONNABORTED, perturbed: true)
        tap.call("accept4", 3, with: [Int64(SOCK_CLOEXEC as Int32)], result: 5, found: client)
        tap.call("connect", 6, length: 16, to: address, result: 0, found: client)
        tap.call("connect", 6, length: 16, to: address, result: -1, error: ECONNREFUSED)
        tap.call("recv", 4, length: 1024, result: 5, got: hello)
        tap.call("recv", 4, length: 1024, result: 0)
        tap.call("recv", 4, with: [Int64(MSG_DONTWAIT as Int32)], length: 1024, result: -1, error: EAGAIN)
        tap.call("recvfrom", 4, with: [0, -1], length: 2048, result: 5, got: hello, found: client)
        tap.call("recvmsg", 4, with: [0, -1], length: 9, result: 5, got: hello, found: client)
        tap.call("read", 4, length: 1, result: 1, got: [0], perturbed: true)
        tap.call("readv", 4, length: 10, result: 5, got: hello)
        tap.call("send", 4, with: [Int64(MSG_NOSIGNAL as Int32)], length: 5, data: hello, result: 5)
        tap.call("send", 4, with: [0], length: 100_000, data: [UInt8](repeating: 65, count: 64), result: 4096)
        tap.call("sendto", 4, length: 5, data: hello, to: client, result: 5)
        tap.call("sendmsg", 4, length: 5, data: hello, result: 5)
        tap.call("write", 4, length: 5, data: hello, result: -1, error: EPIPE)
        tap.call("writev", 4, with: [0, 3], length: 5, data: hello, result: 3)
        tap.call("sendfile", 4, length: 1 << 20, result: 65_536)
        tap.call("close", 4, result: 0)
        tap.call("shutdown", 4, with: [1], result: 0)
        tap.call("select", with: [10, -1], result: 1)
        tap.call("pselect", with: [10, 250], result: 0)
        tap.call("poll", 4, with: [1, 1000], result: 1)
        tap.call("ppoll", with: [3, 2000], result: 1)
        tap.call("epoll_create", with: [1], result: 7)
        tap.call("epoll_create1", with: [0], result: 7)
        tap.call("epoll_ctl", 4, with: [1, Int64(UInt32(0x8000_0001))], result: 0)
        tap.call("epoll_wait", 7, with: [64, -1], result: 2)
        tap.call("epoll_pwait", 7, with: [64, 5], result: 0)
        tap.call("kqueue", result: 8)
        tap.call("kevent", 8, result: 1)
        tap.call("setsockopt", 3, with: [Int64(SOL_SOCKET), Int64(SO_REUSEADDR)], length: 4, data: one, result: 0)
        tap.call(
            "setsockopt", 3, with: [Int64(IPPROTO_TCP as Int32), Int64(TCP_NODELAY)], length: 4, data: one, result: 0)
        tap.call("getsockopt", 3, with: [Int64(SOL_SOCKET), Int64(SO_ERROR)], result: 0)
        tap.call("getsockopt", 3, with: [77, 99], result: -1, error: ENOPROTOOPT)
        tap.call("getsockname", 3, result: 0, found: address)
        tap.call("getpeername", 4, result: -1, error: ENOTCONN)
        tap.call("fcntl", 4, with: [Int64(F_GETFL)], result: 2)
        tap.call("fcntl", 4, with: [Int64(F_SETFL), Int64(O_RDWR | O_NONBLOCK)], result: 0)
        tap.call("fcntl", 4, with: [Int64(F_SETFD), Int64(FD_CLOEXEC)], result: 0)
        tap.call("ioctl", 4, with: [Int64(FIONREAD)], result: 0)
        tap.call("dup", 4, result: 9)
        tap.call("dup2", 4, with: [10], result: 10)
        tap.call("dup3", 4, with: [11], result: 11)
        tap.call("fork", result: 123)
        tap.call("waitpid", with: [-1, 1], result: 0)
        tap.call("wait", result: 123)
        tap.call("sleep", with: [2000], result: 0)
        tap.call("usleep", with: [5], result: 0)
        tap.call("nanosleep", with: [10], result: 0)
        tap.call("getaddrinfo", result: 0)
        tap.call("freeaddrinfo", result: 0)
        tap.call("pthread_create", result: 0)
        tap.call("kill", with: [123, Int64(SIGTERM)], result: 0)
        tap.call("sigaction", with: [Int64(SIGCHLD), 0], result: 0)
        tap.call("signal", with: [Int64(SIGPIPE), 1], result: 0)
        return tap.timeline.calls
    }

    func testWhatSOErrorSaid() {
        for (code, text) in [(0, "0"), (ECONNREFUSED, "ECONNREFUSED")] {
            var tap = Recorder()
            let bytes = withUnsafeBytes(of: Int32(code)) { Array($0) }
            tap.call("getsockopt", 3, with: [Int64(SOL_SOCKET), Int64(SO_ERROR)], data: bytes, result: 0)
            XCTAssertEqual(tap.timeline.calls[0].text(now: 0), "getsockopt(3, SO_ERROR) = 0   → \(text)")
            XCTAssertEqual(tap.timeline.calls[0].pendingError, Int32(code))
        }
    }

    func testEveryCall() {
        XCTAssertEqual(Set(calls.map(\.name)), Set(Recorder.callNames))
        XCTAssertEqual(
            calls.map { $0.text(now: 0) }.joined(separator: "\n"),
            #"""
            socket(AF_INET, SOCK_STREAM) = 3
            socketpair(AF_UNIX, SOCK_DGRAM) = 0
            bind(3, 127.0.0.1:8000) = 0
            bind(3, 127.0.0.1:0) = 0   at 127.0.0.1:41000
            bind(3, 127.0.0.1:8000) = -1 EADDRINUSE
            listen(3, 128) = 0   at 127.0.0.1:8000
            accept(3) = 4   from 127.0.0.1:40000
            accept(3) = -1 ECONNABORTED   [made by the lab]
            accept4(3) = 5   from 127.0.0.1:40000
            connect(6, 127.0.0.1:8000) = 0   own address 127.0.0.1:40000
            connect(6, 127.0.0.1:8000) = -1 ECONNREFUSED
            recv(4, …, 1024) = 5 "hello"
            recv(4, …, 1024) = 0
            recv(4, …, 1024, MSG_DONTWAIT) = -1 EAGAIN
            recvfrom(4, …, 2048) = 5 "hello"   from 127.0.0.1:40000
            recvmsg(4, …, 9) = 5 "hello"   from 127.0.0.1:40000
            read(4, …, 1) = 1 "\x00"   [made by the lab]
            readv(4, …, 10) = 5 "hello"
            send(4, "hello", 5, MSG_NOSIGNAL) = 5
            send(4, "AAAAAAAAAAAAAAAAAAAAAAAA"…, 100000) = 4096
            sendto(4, "hello", 5, → 127.0.0.1:40000) = 5
            sendmsg(4, "hello", 5) = 5
            write(4, "hello", 5) = -1 EPIPE
            writev(4, "hello", 5 in 3 pieces) = 3
            sendfile(4, …, 1048576) = 65536
            close(4) = 0
            shutdown(4, SHUT_WR) = 0
            select(no timeout) = 1
            pselect(250 ms) = 0
            poll(4, 1000 ms) = 1
            ppoll(2000 ms) = 1
            epoll_create() = 7
            epoll_create1() = 7
            epoll_ctl(EPOLL_CTL_ADD, 4, EPOLLIN|EPOLLET) = 0
            epoll_wait(7, no timeout) = 2
            epoll_pwait(7, 5 ms) = 0
            kqueue() = 8
            kevent(8) = 1
            setsockopt(3, SO_REUSEADDR, 1) = 0
            setsockopt(3, TCP_NODELAY, 1) = 0
            getsockopt(3, SO_ERROR) = 0
            getsockopt(3, 77, 99) = -1 ENOPROTOOPT
            getsockname(3) = 0   127.0.0.1:8000
            getpeername(4) = -1 ENOTCONN
            fcntl(4, F_GETFL) = 2
            fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
            fcntl(4, F_SETFD, FD_CLOEXEC) = 0
            ioctl(4, FIONREAD) = 0
            dup(4) = 9
            dup2(4, 10) = 10
            dup3(4, 11) = 11
            fork() = 123
            waitpid(-1, WNOHANG) = 0
            wait() = 123
            sleep(2000 ms) = 0
            usleep(5 ms) = 0
            nanosleep(10 ms) = 0
            getaddrinfo() = 0
            freeaddrinfo() = 0
            pthread_create() = 0
            kill(123, SIGTERM) = 0
            sigaction(SIGCHLD) = 0
            signal(SIGPIPE, SIG_IGN) = 0
            """#)
    }

    func testEveryCallInChinese() {
        Language.current = .chinese
        // Only what is not C is in the reader's language.
        let chinese = calls.map { $0.text(now: 0) }.filter { $0.contains { !$0.isASCII && $0 != "…" && $0 != "→" } }
        XCTAssertEqual(
            chinese.joined(separator: "\n"),
            #"""
            bind(3, 127.0.0.1:0) = 0   地址 127.0.0.1:41000
            listen(3, 128) = 0   地址 127.0.0.1:8000
            accept(3) = 4   来自 127.0.0.1:40000
            accept(3) = -1 ECONNABORTED   [实验环境制造]
            accept4(3) = 5   来自 127.0.0.1:40000
            connect(6, 127.0.0.1:8000) = 0   本端 127.0.0.1:40000
            recvfrom(4, …, 2048) = 5 "hello"   来自 127.0.0.1:40000
            recvmsg(4, …, 9) = 5 "hello"   来自 127.0.0.1:40000
            read(4, …, 1) = 1 "\x00"   [实验环境制造]
            writev(4, "hello", 5（3 段）) = 3
            select(不限时) = 1
            epoll_wait(7, 不限时) = 2
            """#)
    }

    func testBlockedCall() {
        var tap = Recorder()
        tap.enter("recv", 4, length: 1024)
        let call = tap.timeline.calls[0]
        XCTAssertEqual(call.text(now: call.entered + 50_000_000), "recv(4, …, 1024) ⋯")
        XCTAssertEqual(call.text(now: call.entered + 1_290_000_000), "recv(4, …, 1024) ⋯ still blocked after 1.2 s")
        Language.current = .chinese
        XCTAssertEqual(call.text(now: call.entered + 10_000_000_000), "recv(4, …, 1024) ⋯ 阻塞了 10.0 s，仍未返回")
    }

    func testCallWhoseReturnWasLost() {
        var tap = Recorder()
        let call = tap.enter("close", 4)
        tap.leave(call, 0, told: false)
        tap.enter("accept", 3)
        XCTAssertEqual(tap.timeline.calls[0].text(now: 0), "close(4) = ?   [not recorded]")
    }

    /// Its result is the error, with a name of its own.
    func testResolverErrors() {
        var tap = Recorder()
        for code in [EAI_NONAME, EAI_AGAIN, 12_345] { tap.call("getaddrinfo", result: Int64(code)) }
        XCTAssertEqual(
            tap.timeline.calls.map { $0.text(now: 0) },
            [
                "getaddrinfo() = \(EAI_NONAME) EAI_NONAME", "getaddrinfo() = \(EAI_AGAIN) EAI_AGAIN",
                "getaddrinfo() = 12345",
            ])
    }

    func testQuoted() {
        XCTAssertEqual(quoted(Array("hi\r\n\t\"\\".utf8)), #""hi\r\n\t\"\\""#)
        XCTAssertEqual(quoted([0, 0x1f, 0x7f, 0xff]), #""\x00\x1f\x7f\xff""#)
        XCTAssertEqual(quoted(Array("大".utf8)), #""\xe5\xa4\xa7""#)
        XCTAssertEqual(quoted([]), #""""#)
        XCTAssertEqual(quoted([], total: 3), #"""…"#)
        XCTAssertEqual(quoted(Array(repeating: 65, count: 24)), "\"" + String(repeating: "A", count: 24) + "\"")
        XCTAssertEqual(quoted(Array(repeating: 65, count: 25)), "\"" + String(repeating: "A", count: 24) + "\"…")
        XCTAssertEqual(quoted(Array("abc".utf8), total: 10), "\"abc\"…")
        XCTAssertEqual(quoted(Array("abcdef".utf8), most: 2), "\"ab\"…")
    }

    func testHex() {
        XCTAssertEqual([0, 9, 0x0a, 0x10, 0xff].map { hex($0) }, ["00", "09", "0a", "10", "ff"])
    }
}
