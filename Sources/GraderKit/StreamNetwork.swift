/// A bad network for TCP, between clients and one server. TCP hides loss and reordering; what is left to see is when bytes
/// come, in what pieces, and that a connection can end at any of them. It slices and delays, and it ends some connections
/// in the middle: with a half-close, as if that side had no more to say, or with a reset, as if a router had been switched
/// off. What happens to a connection is decided by the seed and its number, so a seed replays it.
///
///     clients ── address ──▶ network ──▶ server
///
/// What either side does itself (half-close, reset, not reading) is passed on. Owns its sockets and one thread, from `init`
/// to `close`. It judges nothing.
import Foundation
import Sockets

public final class StreamNetwork: @unchecked Sendable {
    public enum Direction: UInt64, Sendable {
        case toServer
        case toClient
    }

    public enum Fate: Equatable, Sendable {
        /// Everything arrives.
        case whole
        /// After so many bytes in this direction the receiver sees the end of the stream, and no byte more.
        case halfClosed(Direction, after: Int)
        /// After so many bytes in this direction both sides see a reset.
        case reset(Direction, after: Int)
    }

    /// How bad it is.
    public struct Weather: Sendable {
        /// Of 100 connections.
        public var halfClosed: Int
        public var reset: Int
        /// After how many bytes of a direction that happens.
        public var after: ClosedRange<Int>
        /// How many bytes are handed on at a time.
        public var slice: ClosedRange<Int>
        /// Of 100 slices: how many wait, and those behind them with them.
        public var delayed: Int
        /// In milliseconds.
        public var delay: ClosedRange<Int>

        public init(
            halfClosed: Int = 0, reset: Int = 0, after: ClosedRange<Int> = 0...100, slice: ClosedRange<Int> = 1...50,
            delayed: Int = 20, delay: ClosedRange<Int> = 1...5
        ) {
            self.halfClosed = halfClosed
            self.reset = reset
            self.after = after
            self.slice = slice
            self.delayed = delayed
            self.delay = delay
        }

        /// - Parameter connection: its number, from 1, in the order in which the network accepted.
        public func fate(of connection: Int, seed: UInt64) -> Fate {
            var random = SeededGenerator(seed: seed &+ UInt64(connection) << 32)
            let direction: Direction = Bool.random(using: &random) ? .toServer : .toClient
            let count = Int.random(in: after, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case ..<halfClosed: return .halfClosed(direction, after: count)
            case ..<(halfClosed + reset): return .reset(direction, after: count)
            default: return .whole
            }
        }
    }

    /// Where clients find the server.
    public let address: SocketAddress

    private let server: SocketAddress
    private let weather: Weather
    private let seed: UInt64
    private let front: Int32
    private let ending: Interruption
    private let ended = DispatchSemaphore(value: 0)

    // Of the thread alone:
    private var links: [Link] = []
    private var accepted = 0

    public init(to server: SocketAddress, host: String = "127.0.0.1", weather: Weather, seed: UInt64) throws {
        self.server = server
        self.weather = weather
        self.seed = seed
        ending = try Interruption()
        let any = try SocketAddress(host: host, port: 0)
        let front = try closeOnExecSocket(any.family, SOCK_STREAM)
        do {
            try check("bind", any.withSockaddr { bind(front, $0, $1) })
            try check("listen", listen(front, 128))
            address = try SocketAddress.local(of: front)
        } catch {
            Sockets.close(front)
            throw error
        }
        self.front = front
        _ = fcntl(front, F_SETFL, O_NONBLOCK)
        do { try startThread { [self] in run() } } catch {
            Sockets.close(front)
            throw error
        }
    }

    /// What happens to connection `number`, counted from 1 in the order in which clients connected.
    public func fate(of number: Int) -> Fate { weather.fate(of: number, seed: seed) }

    /// Ends the network; connections that are still open are reset. To be called once.
    public func close() {
        ending.fire()
        ended.wait()
    }

    private func run() {
        defer {
            for link in links { link.reset() }
            Sockets.close(front)
            ended.signal()
        }
        while true {
            for link in links { link.handOn() }
            links.removeAll(where: \.isOver)
            var interest = [ending.descriptor, front].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            for link in links { interest += link.interest }
            let due = links.compactMap(\.due).min()
            guard poll(&interest, nfds_t(interest.count), due.map { Deadline(at: $0).milliseconds } ?? -1) >= 0 else {
                continue
            }
            if interest[0].revents != 0 { return }
            for (index, link) in links.enumerated() {
                link.take(interest[2 + 2 * index].revents, interest[3 + 2 * index].revents)
            }
            if interest[1].revents != 0 { accept() }
        }
    }

    private func accept() {
        let client = acceptCloseOnExec(front)
        guard client >= 0 else { return }
        accepted += 1
        guard let other = try? closeOnExecSocket(server.family, SOCK_STREAM) else {
            Sockets.close(client)
            return
        }
        for descriptor in [client, other] {
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            // A slice is to leave when it is handed on.
            var yes: Int32 = 1
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
        }
        let link = Link(
            client: client, server: other, fate: fate(of: accepted), weather: weather,
            random: SeededGenerator(seed: seed ^ UInt64(accepted)))
        links.append(link)
        if server.withSockaddr({ connect(other, $0, $1) }) != 0 && errno != EINPROGRESS { link.reset() }
    }
}

/// One client's connection through the network: two ways that have little to do with each other.
private final class Link {
    private struct Slice {
        var bytes: ArraySlice<UInt8>
        /// When it may be handed on, in nanoseconds.
        var due: UInt64
    }

    private struct Way {
        var from: Int32
        var to: Int32
        /// On its way, in order.
        var slices: [Slice] = []
        var count = 0
        var handedOn = 0
        /// The sender has no more to say.
        var hasEnded = false
        /// The receiver was told that.
        var isShut = false
        /// The receiver took no more for now.
        var isStuck = false
        /// How far it goes.
        var most = Int.max
    }

    private let client: Int32
    private let server: Int32
    private let fate: StreamNetwork.Fate
    private let weather: StreamNetwork.Weather
    private var random: SeededGenerator
    private var ways: [Way]
    private(set) var isOver = false
    /// Somebody said something: no connection is cut before that, so that every client is connected first.
    private var hasSpoken = false

    /// On its way at most, in bytes: whoever sends to a receiver that does not read has to wait, as without a network.
    private static let most = 65_536

    init(
        client: Int32, server: Int32, fate: StreamNetwork.Fate, weather: StreamNetwork.Weather, random: SeededGenerator
    ) {
        (self.client, self.server, self.fate, self.weather, self.random) = (client, server, fate, weather, random)
        ways = [Way(from: client, to: server), Way(from: server, to: client)]
        switch fate {
        case .whole: break
        case .halfClosed(let direction, let after), .reset(let direction, let after):
            ways[Int(direction.rawValue)].most = after
        }
    }

    /// What poll is to wait for: on the client's socket, and on the server's.
    var interest: [pollfd] {
        ways.indices.map { index in
            var events: Int32 = 0
            if mayTake(ways[index]) { events |= Int32(POLLIN) }
            if ways[1 - index].isStuck { events |= Int32(POLLOUT) }
            // poll passes over a negative descriptor: it would tell of a hang-up that nobody can do anything about.
            return pollfd(fd: events == 0 ? -1 : ways[index].from, events: Int16(events), revents: 0)
        }
    }

    /// When the next slice may be handed on.
    var due: UInt64? { ways.filter { !$0.isStuck }.compactMap(\.slices.first?.due).min() }

    private func mayTake(_ way: Way) -> Bool { !way.hasEnded && way.count < Link.most }

    /// - Parameter events: what poll said of the client's socket, and of the server's.
    func take(_ events: Int16...) {
        for index in ways.indices where events[index] != 0 {
            ways[1 - index].isStuck = false
            if !isOver && mayTake(ways[index]) { receive(index) }
        }
    }

    private func receive(_ index: Int) {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        let count = recv(ways[index].from, &buffer, buffer.count, 0)
        if count < 0 {
            if errno != EAGAIN && errno != EINTR && errno != ENOTCONN { reset() }
            return
        }
        hasSpoken = true
        if count == 0 { ways[index].hasEnded = true }
        // Behind a half-close of the network nothing arrives: it is read, so that its sender does not notice, and dropped.
        guard !ways[index].isShut else { return }
        var rest = buffer[..<count]
        var due = max(now(), ways[index].slices.last?.due ?? 0)
        while !rest.isEmpty {
            if Int.random(in: 0..<100, using: &random) < weather.delayed {
                due += UInt64(Int.random(in: weather.delay, using: &random)) * 1_000_000
            }
            let part = rest.prefix(Int.random(in: weather.slice, using: &random))
            ways[index].slices.append(Slice(bytes: part, due: due))
            ways[index].count += part.count
            rest = rest.dropFirst(part.count)
        }
    }

    /// Hands on what is due.
    func handOn() {
        for index in ways.indices where !isOver { handOn(index) }
        if !isOver && ways.allSatisfy(\.isShut) && ways.allSatisfy(\.hasEnded) { close() }
    }

    private func handOn(_ index: Int) {
        let time = now()
        while !ways[index].isShut, !ways[index].isStuck {
            if ways[index].handedOn == ways[index].most && hasSpoken { return cut(index) }
            guard let slice = ways[index].slices.first else {
                if ways[index].hasEnded { shut(index) }
                return
            }
            guard slice.due <= time else { return }
            let part = slice.bytes.prefix(ways[index].most - ways[index].handedOn)
            let sent = part.withUnsafeBytes { send(ways[index].to, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if sent < 0 {
                // A connection to the server that is still being made takes nothing yet, either.
                guard errno == EAGAIN || errno == EINTR || errno == ENOTCONN else { return reset() }
                ways[index].isStuck = true
                return
            }
            ways[index].handedOn += sent
            ways[index].count -= sent
            ways[index].slices[0].bytes = slice.bytes.dropFirst(sent)
            if ways[index].slices[0].bytes.isEmpty { ways[index].slices.removeFirst() }
        }
    }

    private func cut(_ index: Int) {
        if case .reset = fate { return reset() }
        shut(index)
    }

    private func shut(_ index: Int) {
        if shutdown(ways[index].to, SHUT_WR) != 0 && errno == ENOTCONN && ways[index].to == server && !isConnected {
            ways[index].isStuck = true
            return
        }
        ways[index].isShut = true
        ways[index].slices = []
        ways[index].count = 0
    }

    /// The server's kernel has agreed.
    private var isConnected: Bool {
        do { return try SocketAddress.peer(of: server).family != AF_UNSPEC } catch { return false }
    }

    /// Both sides see a reset (SO_LINGER with time 0, socket(7)).
    func reset() {
        guard !isOver else { return }
        var linger = linger(l_onoff: 1, l_linger: 0)
        for descriptor in [client, server] {
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        }
        close()
    }

    private func close() {
        isOver = true
        Sockets.close(client)
        Sockets.close(server)
    }
}
