// The bad network for TCP: what arrives, in which pieces, and how connections end.
import Sockets
import XCTest

@testable import GraderKit

final class StreamNetworkTests: XCTestCase {
    private typealias Weather = StreamNetwork.Weather

    func testFatesComeFromTheSeed() {
        let weather = Weather(halfClosed: 30, reset: 30, after: 3...9)
        let fates = (1...200).map { weather.fate(of: $0, seed: 7) }
        XCTAssertEqual(fates, (1...200).map { weather.fate(of: $0, seed: 7) })
        XCTAssertNotEqual(fates, (1...200).map { weather.fate(of: $0, seed: 8) })
        let counts = fates.map { fate -> String in
            switch fate {
            case .whole: return "whole"
            case .halfClosed(_, let after):
                XCTAssertTrue((3...9).contains(after))
                return "halfClosed"
            case .reset(_, let after):
                XCTAssertTrue((3...9).contains(after))
                return "reset"
            }
        }
        for kind in ["whole", "halfClosed", "reset"] {
            XCTAssertGreaterThan(counts.filter { $0 == kind }.count, 30, kind)
        }
    }

    /// A megabyte each way at the same time, through buffers that are much smaller: nothing is lost, changed or reordered.
    func testEverythingArrivesBothWays() throws {
        let pair = try Pair(Weather(slice: 1...20_000, delayed: 5, delay: 1...2))
        defer { pair.network.close() }
        var random = SeededGenerator(seed: 3)
        let (question, answer) = (random.bytes(1 << 20), random.bytes(1 << 20))
        let (client, server) = (pair.client, pair.server)
        // Not two elements of one array: two threads would change that one array at once.
        nonisolated(unsafe) var asked: [UInt8] = []
        nonisolated(unsafe) var answered: [UInt8] = []
        DispatchQueue.concurrentPerform(iterations: 4) { part in
            switch part {
            case 0: client.sendAndEnd(question)
            case 1: server.sendAndEnd(answer)
            case 2: asked = server.receiveToEnd().bytes
            default: answered = client.receiveToEnd().bytes
            }
        }
        XCTAssertTrue(asked == question, "\(asked.count) bytes")
        XCTAssertTrue(answered == answer, "\(answered.count) bytes")
    }

    func testSlicesAreSmallAndInOrder() throws {
        let pair = try Pair(Weather(slice: 2...3, delayed: 100, delay: 2...4))
        defer { pair.network.close() }
        pair.client.sendAndEnd(Array("all at once".utf8))
        let received = pair.server.receiveToEnd()
        XCTAssertEqual(String(decoding: received.bytes, as: UTF8.self), "all at once")
        XCTAssertEqual(received.ending, 0)
        // A busy receiver may get two slices at once; that all of them came at once cannot be.
        XCTAssertGreaterThan(received.pieces, 1)
    }

    func testDelay() throws {
        let pair = try Pair(Weather(slice: 1...1, delayed: 100, delay: 30...30))
        defer { pair.network.close() }
        let began = now()
        pair.client.sendAndEnd([1, 2])
        XCTAssertEqual(pair.server.receiveToEnd().bytes, [1, 2])
        XCTAssertGreaterThanOrEqual(now() - began, 60_000_000)
    }

    func testResetAfterSomeBytes() throws {
        for direction in [StreamNetwork.Direction.toServer, .toClient] {
            let pair = try Pair(Weather(reset: 100, after: 4...4, slice: 1...3), fate: .reset(direction, after: 4))
            defer { pair.network.close() }
            let (sender, receiver) = direction == .toServer ? (pair.client, pair.server) : (pair.server, pair.client)
            sender.send(Array("too long".utf8))
            // A reset may overtake what was handed on (tcp(7)): the receiver has at most these bytes.
            let received = receiver.receiveToEnd()
            XCTAssertTrue(Array("too ".utf8).starts(with: received.bytes), "\(received.bytes)")
            XCTAssertEqual(received.ending, ECONNRESET)
            XCTAssertEqual(sender.receiveToEnd().ending, ECONNRESET)
        }
    }

    /// The receiver sees the end in the middle; the other way goes on, and the sender notices nothing.
    func testHalfCloseAfterSomeBytes() throws {
        let pair = try Pair(
            Weather(halfClosed: 100, after: 4...4, slice: 1...3), fate: .halfClosed(.toServer, after: 4))
        defer { pair.network.close() }
        pair.client.send(Array("too long".utf8))
        let received = pair.server.receiveToEnd()
        XCTAssertEqual(String(decoding: received.bytes, as: UTF8.self), "too ")
        XCTAssertEqual(received.ending, 0)
        pair.client.send(Array("and more".utf8))
        pair.server.sendAndEnd(Array("sorry".utf8))
        let answer = pair.client.receiveToEnd()
        XCTAssertEqual(String(decoding: answer.bytes, as: UTF8.self), "sorry")
        XCTAssertEqual(answer.ending, 0)
    }

    /// What the two do themselves is passed on.
    func testTheirOwnEndsArrive() throws {
        let pair = try Pair(Weather())
        defer { pair.network.close() }
        pair.client.send([1])
        XCTAssertEqual(pair.server.receive(1), [1])
        pair.server.reset()
        XCTAssertEqual(pair.client.receiveToEnd().ending, ECONNRESET)
    }

    func testAServerThatIsNotThere() throws {
        let server = try Listener()
        let address = server.address
        server.close()
        let network = try StreamNetwork(to: address, weather: Weather(), seed: 1)
        defer { network.close() }
        let client = try Peer(connectedTo: network.address)
        XCTAssertEqual(client.receiveToEnd().ending, ECONNRESET)
    }

    /// A receiver that does not read makes the sender wait: the network keeps little.
    func testBackPressure() throws {
        let pair = try Pair(Weather(slice: 1...60_000, delayed: 0))
        defer { pair.network.close() }
        XCTAssertLessThan(pair.client.sendUntilStuck(most: 64 << 20), 32 << 20)
    }
}

/// A client and a server that are connected through a network.
private struct Pair {
    let network: StreamNetwork
    let client: Peer
    let server: Peer

    /// - Parameter fate: of the connection; a seed is looked for that decides so.
    init(_ weather: StreamNetwork.Weather, fate: StreamNetwork.Fate = .whole) throws {
        let seed = try XCTUnwrap((1...1000).first { weather.fate(of: 1, seed: $0) == fate })
        let listener = try Listener()
        network = try StreamNetwork(to: listener.address, weather: weather, seed: seed)
        client = try Peer(connectedTo: network.address)
        server = try listener.accept()
        listener.close()
    }
}

private final class Listener {
    let address: SocketAddress
    private let descriptor: Int32

    init() throws {
        descriptor = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        let descriptor = descriptor
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, 8))
        address = try SocketAddress.local(of: descriptor)
    }

    func accept() throws -> Peer { Peer(try check("accept", acceptCloseOnExec(descriptor))) }
    func close() { Sockets.close(descriptor) }
}

/// A plain TCP socket whose calls wait for 10 seconds at most.
private final class Peer: @unchecked Sendable {
    private let descriptor: Int32
    private var isOpen = true

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
    }

    convenience init(connectedTo address: SocketAddress) throws {
        self.init(try closeOnExecSocket(AF_INET, SOCK_STREAM))
        try check("connect", address.withSockaddr { connect(descriptor, $0, $1) })
    }

    deinit { if isOpen { close(descriptor) } }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            guard count > 0 else { return XCTFail("send: \(errorText(errno))") }
            rest = rest.dropFirst(count)
        }
    }

    func sendAndEnd(_ bytes: [UInt8]) {
        send(bytes)
        shutdown(descriptor, SHUT_WR)
    }

    /// How much is taken until nothing was for a fifth of a second.
    func sendUntilStuck(most: Int) -> Int {
        var limit = timeval(tv_sec: 0, tv_usec: 200_000)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let bytes = [UInt8](repeating: 0, count: 1 << 16)
        var sent = 0
        while sent < most {
            let count = Sockets.send(descriptor, bytes, bytes.count, MSG_NOSIGNAL)
            if count <= 0 { return sent }
            sent += count
        }
        return sent
    }

    func receive(_ count: Int) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: count)
        let got = recv(descriptor, &buffer, count, MSG_WAITALL)
        return Array(buffer.prefix(max(0, got)))
    }

    /// - Returns: what came, in how many pieces, and how it ended: 0, or the error.
    func receiveToEnd() -> (bytes: [UInt8], pieces: Int, ending: Int32) {
        var (bytes, pieces): ([UInt8], Int) = ([], 0)
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 { return (bytes, pieces, errno) }
            if count == 0 { return (bytes, pieces, 0) }
            bytes += buffer[..<count]
            pieces += 1
        }
    }

    func reset() {
        isOpen = false
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        Sockets.close(descriptor)
    }
}
