import Course
import Sockets
import XCTest

@testable import LabCore
@testable import Wire

/// What two taps told, as a drawing of 80 columns.
final class DemoDrawingTests: XCTestCase {
    // MARK: Datagrams

    func testADatagramStandsBesideItsReceipt() throws {
        let scene = Scene()
        scene.left("socket", arguments: (2, 2), result: 3)
        scene.right("socket", arguments: (2, 2), result: 4)
        scene.right("bind", 4, given: server, found: server)
        scene.left("sendto", 3, bytes: "hello", given: server)
        scene.right("recvfrom", 4, length: 100, received: "hello", found: client)
        scene.right("sendto", 4, bytes: "HELLO", given: client)
        scene.left("recvfrom", 3, length: 100, received: "HELLO", found: server)
        XCTAssertEqual(
            scene.drawn(from: 3),
            """
            sendto(3, …, 5) = 5          ────── "hello" ──────▶ recvfrom(4, …, 100) = 5
                                             68 65 6c 6c 6f
            recvfrom(3, …, 100) = 5      ◀────── "HELLO" ────── sendto(4, …, 5) = 5
                                             48 45 4c 4c 4f
            """)
    }

    func testTheOrderInWhichTapsAreHeardDoesNotMatter() throws {
        let calm = Scene()
        let late = Scene()
        for scene in [calm, late] {
            scene.left("socket", arguments: (2, 2), result: 3)
            scene.right("socket", arguments: (2, 2), result: 4)
            scene.right("bind", 4, given: server, found: server)
            scene.left("sendto", 3, bytes: "a", given: server)
            scene.left("poll", 3, arguments: (1, 100), result: 1)
            scene.right("recvfrom", 4, length: 9, received: "a", found: client)
            scene.right("sendto", 4, bytes: "A", given: client)
            scene.left("recvfrom", 3, length: 9, received: "A", found: server)
        }
        XCTAssertEqual(calm.drawn(from: 0), late.drawn(from: 0, leftLast: true))
    }

    func testChineseIsCountedInColumns() throws {
        let scene = Scene()
        scene.left("socket", arguments: (2, 2), result: 3)
        scene.left("sendto", 3, bytes: "你好，世界", given: server)
        let line = scene.drawn(from: 1).split(separator: "\n")[0]
        XCTAssertEqual(line, "sendto(3, …, 15) = 15        ──── \"你好，世界\" ───▶ 127.0.0.1:12000")
        XCTAssertEqual(displayWidth(String(line)), 67)
    }

    /// A connect that does not block only begins: what becomes of it SO_ERROR says, and only then is there anything to end.
    func testAConnectThatIsBegun() throws {
        let scene = Scene()
        let stream = (Int64(AF_INET), Int64(SOCK_STREAM as Int32))
        let asked = (Int64(SOL_SOCKET), Int64(SO_ERROR))
        for code in [ECONNREFUSED, 0] {
            scene.left("socket", arguments: stream, result: 3)
            scene.left(
                "fcntl", 3, arguments: (Int64(F_SETFL), Int64(O_RDWR | O_NONBLOCK)), result: 0)
            scene.left("connect", 3, result: -1, error: EINPROGRESS, given: server, found: client)
            let bytes = withUnsafeBytes(of: code) { String(decoding: $0, as: UTF8.self) }
            scene.left("getsockopt", 3, received: code == 0 ? "\0\0\0\0" : bytes, arguments: asked, result: 0)
            scene.left("close", 3, result: 0)
        }
        XCTAssertEqual(
            scene.drawn(from: 0),
            """
            socket(…, SOCK_STREAM) = 3
            fcntl(F_SETFL, O_NONBLOCK)
            connect(3) = -1 EINPROGRESS  ──────── SYN ────────▶ 127.0.0.1:12000
            getsockopt(3) → ECONNREFUSED
            close(3) = 0
            socket(…, SOCK_STREAM) = 3
            fcntl(F_SETFL, O_NONBLOCK)
            connect(3) = -1 EINPROGRESS  ──────── SYN ────────▶ 127.0.0.1:12000
            getsockopt(3, SO_ERROR) → 0
            close(3) = 0                 ──────── FIN ────────▶ 127.0.0.1:12000
            """)
    }

    func testALateDatagramAndALostOne() throws {
        let scene = Scene(hasNetwork: true)
        scene.left("socket", arguments: (2, 2), result: 3)
        scene.right("socket", arguments: (2, 2), result: 4)
        scene.note(.lost, "1", to: .right)
        scene.left("sendto", 3, bytes: "1", given: server)
        scene.note(.delayed(250), "2", to: .right)
        scene.left("sendto", 3, bytes: "2", given: server)
        scene.right("recvfrom", 4, length: 9, received: "2", found: client)
        XCTAssertEqual(
            scene.drawn(from: 2),
            """
            sendto(3, …, 1) = 1          ─────── "1" ──────╳    lost
                                                   31
            sendto(3, …, 1) = 1          ────── "2" ───────┄    late by 250 ms
                                                   32
            the late one                 ┄──────── "2" ───────▶ recvfrom(4, …, 9) = 1
                                                   32
            """)
    }

    // MARK: Streams

    func testThreeSendsOneReceive() throws {
        let scene = connected()
        scene.left("send", 3, bytes: "one")
        scene.left("send", 3, bytes: "two")
        scene.right("recv", 5, length: 100, received: "onetwo")
        XCTAssertEqual(
            scene.drawn(from: scene.opening),
            """
            send(3, …, 3) = 3            ─────── "one" ──────▶┆
                                                6f 6e 65
            send(3, …, 3) = 3            ─────── "two" ──────▶┆
                                                74 77 6f
                                         ┆───── "onetwo" ─────▶ recv(5, …, 100) = 6
                                           6f 6e 65 74 77 6f
            """)
    }

    func testOneSendTwoReceives() throws {
        let scene = connected()
        scene.left("send", 3, bytes: "onetwo")
        scene.right("recv", 5, length: 4, received: "onet")
        scene.right("recv", 5, length: 4, received: "wo")
        XCTAssertEqual(
            scene.drawn(from: scene.opening),
            """
            send(3, …, 6) = 6            ───── "onetwo" ─────▶┆
                                           6f 6e 65 74 77 6f
                                         ┆────── "onet" ──────▶ recv(5, …, 4) = 4
                                              6f 6e 65 74
                                         ┆─────── "wo" ───────▶ recv(5, …, 4) = 2
                                                 77 6f
            """)
    }

    func testOpeningAndClosing() throws {
        let scene = connected()
        scene.left("shutdown", 3, arguments: (1, 0))
        scene.right("recv", 5, length: 4, result: 0)
        scene.right("close", 5)
        scene.left("recv", 3, length: 4, result: 0)
        scene.left("close", 3)
        XCTAssertEqual(
            scene.drawn(from: scene.opening - 1),
            """
            connect(3, 127.0.0.1:12000)  ◀ SYN, SYN ACK, ACK ─▶ accept(4) = 5
            shutdown(3, SHUT_WR) = 0     ──────── FIN ────────▶ recv(5, …, 4) = 0
            recv(3, …, 4) = 0            ◀──────── FIN ──────── close(5) = 0
            close(3) = 0
            """)
    }

    func testAReset() throws {
        let scene = connected()
        scene.right("close", 5)
        scene.left("recv", 3, length: 4, result: -1, error: ECONNRESET)
        XCTAssertEqual(
            scene.drawn(from: scene.opening), "recv(3) = -1 ECONNRESET      ◀──────── RST ──────── close(5) = 0")
    }

    func testOnlyTheLastOfTwoProcessesEndsAConnection() throws {
        let scene = connected()
        scene.right("fork", -1, result: 900)
        scene.right("close", 5)
        scene.right("close", 4, process: 900)
        scene.right("close", 5, process: 900)
        scene.left("recv", 3, length: 4, result: 0)
        XCTAssertEqual(
            scene.drawn(from: scene.opening),
            """
                                                                fork() = 900 C1
                                                                close(5) = 0
                                                                C1 close(4) = 0
            recv(3, …, 4) = 0            ◀──────── FIN ──────── C1 close(5) = 0
            """)
    }

    func testAStrangerIsNamedByItsAddress() throws {
        let scene = Scene()
        scene.left("socket", arguments: (2, 1), result: 3)
        scene.right("socket", arguments: (2, 1), result: 4)
        scene.right("bind", 4, given: server, found: server)
        scene.right("accept", 4, result: 5, found: client)
        scene.right("recv", 5, length: 9, received: "hi\n")
        scene.right("send", 5, bytes: "HI\n")
        XCTAssertEqual(
            scene.drawn(from: 3),
            """
            127.0.0.1:40000              ◀ SYN, SYN ACK, ACK ─▶ accept(4) = 5
            127.0.0.1:40000              ─────── "hi\\n" ──────▶ recv(5, …, 9) = 3
                                                68 69 0a
            127.0.0.1:40000              ◀────── "HI\\n" ─────── send(5, …, 3) = 3
                                                48 49 0a
            """)
    }

    // MARK: Room

    func testEveryLineFitsItsColumns() throws {
        let scene = connected()
        scene.left("send", 3, bytes: String(repeating: "长", count: 30))
        scene.left("send", 3, bytes: String(repeating: "\u{1}", count: 5000))
        scene.left(
            "connect", 3, result: -1, error: ECONNREFUSED,
            given: try SocketAddress(host: "2001:db8:1111:2222:3333:4444:5555:6666", port: 65535))
        for columns in [40, 80, 100, 140, 300] {
            for line in scene.lines(columns: columns) {
                XCTAssertLessThanOrEqual(line.width, min(max(columns, 80), 140), line.plain)
            }
        }
    }

    func testWaitingCallsAreShownOnce() throws {
        var ladder = Ladder()
        let party = ladder.join(Party(side: .right, tag: ""))
        var call = Call.example("accept", 4)
        call.returned = nil
        ladder.add(call, from: party, now: 1)
        XCTAssertEqual(ladder.takeWaiting(.right, now: 2).count, 1)
        XCTAssertEqual(ladder.takeWaiting(.right, now: 3).count, 0)
        XCTAssertTrue(ladder.isQuiet(.right))
    }

    // MARK: The kernel's table

    func testKernelSocketsAreRead() {
        let table = """
              sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
               0: 0100007F:091D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
               1: 0100007F:9C40 0100007F:091D 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0

            """
        XCTAssertEqual(
            KernelSocket.parse(table),
            [
                KernelSocket(state: .listen, localPort: 2333, remotePort: 0, timer: 0),
                KernelSocket(state: .timeWait, localPort: 40000, remotePort: 2333, timer: 6000),
            ])
        XCTAssertEqual(KernelSocket.parse(""), [])
    }

    // MARK: Helpers

    private let server = try! SocketAddress(host: "127.0.0.1", port: 12000)
    private let client = try! SocketAddress(host: "127.0.0.1", port: 40000)

    /// A client (descriptor 3) and a server (listener 4, connection 5) that are connected; `opening` rows so far.
    private func connected() -> Scene {
        let scene = Scene()
        scene.left("socket", arguments: (2, 1), result: 3)
        scene.right("socket", arguments: (2, 1), result: 4)
        scene.right("bind", 4, given: server, found: server)
        scene.left("connect", 3, given: server, found: client)
        scene.right("accept", 4, result: 5, found: client)
        scene.opening = 4
        return scene
    }
}

/// Calls of two parties, one after another.
private final class Scene {
    var opening = 0
    private var time: UInt64 = 1000
    private var calls: [(side: Side, call: Call)] = []
    private var fates: [(DatagramMatcher.Fate, [UInt8], Side)] = []
    private let hasNetwork: Bool

    init(hasNetwork: Bool = false) { self.hasNetwork = hasNetwork }

    func note(_ fate: DatagramMatcher.Fate, _ text: String, to side: Side) {
        fates.append((fate, Array(text.utf8), side))
    }

    func left(
        _ name: String, _ descriptor: Int32 = -1, length: Int = 0, bytes: String? = nil, received: String? = nil,
        arguments: (Int64, Int64) = (0, 0), result: Int64? = nil, error: Int32 = 0, given: SocketAddress? = nil,
        found: SocketAddress? = nil
    ) {
        add(.left, name, descriptor, length, bytes, received, arguments, result, error, given, found, 100)
    }

    func right(
        _ name: String, _ descriptor: Int32 = -1, length: Int = 0, bytes: String? = nil, received: String? = nil,
        arguments: (Int64, Int64) = (0, 0), result: Int64? = nil, error: Int32 = 0, given: SocketAddress? = nil,
        found: SocketAddress? = nil, process: Int32 = 200
    ) {
        add(.right, name, descriptor, length, bytes, received, arguments, result, error, given, found, process)
    }

    private func add(
        _ side: Side, _ name: String, _ descriptor: Int32, _ length: Int, _ bytes: String?, _ received: String?,
        _ arguments: (Int64, Int64), _ result: Int64?, _ error: Int32, _ given: SocketAddress?, _ found: SocketAddress?,
        _ process: Int32
    ) {
        let data = Array((bytes ?? received ?? "").utf8)
        var call = Call.example(name, descriptor)
        (call.process, call.thread) = (process, process)
        (call.entered, call.returned) = (time, time + 10)
        call.length = bytes == nil ? length : data.count
        call.data = Array(data.prefix(64))
        call.arguments = arguments
        call.result = result ?? Int64(data.count)
        (call.error, call.given, call.found) = (error, given, found)
        calls.append((side, call))
        time += 100
    }

    private func rows(leftLast: Bool = false) -> [LadderRow] {
        var ladder = Ladder()
        let parties: [Side: Int] = [
            .left: ladder.join(Party(side: .left, tag: "")), .right: ladder.join(Party(side: .right, tag: "")),
        ]
        if hasNetwork { ladder.putNetworkBetween() }
        for (fate, bytes, side) in fates { ladder.note(fate, for: bytes, to: side) }
        let heard = leftLast ? calls.filter { $0.side == .right } + calls.filter { $0.side == .left } : calls
        for (side, call) in heard {
            var entered = call
            entered.returned = nil
            ladder.add(entered, from: parties[side] ?? 0, now: time)
            ladder.add(call, from: parties[side] ?? 0, now: time)
        }
        return ladder.take(now: time, all: true)
    }

    func lines(columns: Int) -> [StyledText] { rows().flatMap { LadderText(columns: columns).lines($0) } }

    /// The rows from this one on.
    func drawn(from first: Int, leftLast: Bool = false) -> String {
        rows(leftLast: leftLast).dropFirst(first).flatMap { LadderText(columns: 80).lines($0) }.map(\.plain)
            .joined(separator: "\n")
    }
}

extension Call {
    fileprivate static func example(_ name: String, _ descriptor: Int32) -> Call {
        Call(
            name: name, process: 200, thread: 200, descriptor: descriptor, entered: 1, returned: 2, length: 0,
            arguments: (0, 0), data: [], perturbed: false)
    }
}
