/// A bad network for UDP, between clients and one server: it loses, repeats, delays and reorders datagrams. What
/// happens to a datagram is decided by the seed, the direction and the datagram's number in that direction, so a seed
/// replays it.
///
///     clients ── address ──▶ network ──▶ server
///
/// Owns its sockets and one thread, from `init` to `close`. Checks and demos use it; it judges nothing.
import Foundation
import Sockets

public final class DatagramNetwork: @unchecked Sendable {
    public enum Direction: UInt64, Sendable {
        case toServer
        case toClient
    }

    public enum Fate: Equatable, Sendable {
        case delivered
        case lost
        /// It arrives twice.
        case repeated
        case delayed(milliseconds: Int)
        /// It arrives behind the next one in its direction (of the same client); if none comes, never.
        case overtaken
    }

    /// How often what happens: of 100 datagrams. The rest is delivered.
    public struct Weather: Sendable {
        public var lost: Int
        public var repeated: Int
        public var delayed: Int
        public var overtaken: Int
        /// In milliseconds.
        public var delay: ClosedRange<Int>
        /// After so many losses in a row the next one is delivered: who asks again often enough is answered.
        public var mostLostInARow: Int

        public init(
            lost: Int = 30, repeated: Int = 15, delayed: Int = 15, overtaken: Int = 10, delay: ClosedRange<Int>,
            mostLostInARow: Int = 2
        ) {
            self.lost = lost
            self.repeated = repeated
            self.delayed = delayed
            self.overtaken = overtaken
            self.delay = delay
            self.mostLostInARow = mostLostInARow
        }

        /// - Parameter number: of the datagram in its direction, from 1.
        public func fate(of number: Int, _ direction: Direction, seed: UInt64) -> Fate {
            let drawn = draw(number, direction, seed)
            guard drawn == .lost, number > mostLostInARow else { return drawn }
            let before = (number - mostLostInARow..<number).allSatisfy { draw($0, direction, seed) == .lost }
            return before ? .delivered : .lost
        }

        private func draw(_ number: Int, _ direction: Direction, _ seed: UInt64) -> Fate {
            var random = SeededGenerator(seed: seed &+ direction.rawValue << 32 &+ UInt64(number))
            let milliseconds = Int.random(in: delay, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case ..<lost: return .lost
            case ..<(lost + repeated): return .repeated
            case ..<(lost + repeated + delayed): return .delayed(milliseconds: milliseconds)
            case ..<(lost + repeated + delayed + overtaken): return .overtaken
            default: return .delivered
            }
        }
    }

    public struct Datagram: Sendable {
        public var direction: Direction
        /// In its direction, from 1.
        public var number: Int
        public var client: SocketAddress
        public var bytes: [UInt8]
    }

    public enum Event: Sendable {
        case arrived(Datagram, Fate)
        /// Handed on, at this time (ns, CLOCK_MONOTONIC).
        case delivered(Datagram, at: UInt64)
    }

    /// Where clients find the server.
    public let address: SocketAddress

    private let server: SocketAddress
    private let weather: Weather
    private let seed: UInt64
    private let observe: @Sendable (Event) -> Void
    private let front: Int32
    private let ending: Interruption
    private let ended = DispatchSemaphore(value: 0)

    // Of the thread alone:
    private var counts: [Direction: Int] = [:]
    /// For each client a socket that is connected to the server, so that it knows whose answers come back on it.
    private var ways: [(client: SocketAddress, descriptor: Int32)] = []
    private var delayed: [(due: UInt64, datagram: Datagram)] = []
    private var held: [Datagram] = []
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    private static let mostClients = 128

    /// - Parameter observe: is called on the network's thread.
    public init(
        to server: SocketAddress, host: String = "127.0.0.1", port: UInt16 = 0, weather: Weather, seed: UInt64,
        observe: @escaping @Sendable (Event) -> Void = { _ in }
    ) throws {
        self.server = server
        self.weather = weather
        self.seed = seed
        self.observe = observe
        ending = try Interruption()
        let any = try SocketAddress(host: host, port: port)
        let front = try closeOnExecSocket(any.family, SOCK_DGRAM)
        do {
            try check("bind", any.withSockaddr { bind(front, $0, $1) })
            address = try SocketAddress.local(of: front)
        } catch {
            Sockets.close(front)
            throw error
        }
        self.front = front
        try startThread { [self] in run() }
    }

    /// Ends the network; what it still holds is lost. To be called once.
    public func close() {
        ending.fire()
        ended.wait()
    }

    private func run() {
        defer {
            Sockets.close(front)
            for way in ways { Sockets.close(way.descriptor) }
            ended.signal()
        }
        while true {
            let ways = ways
            var interest = ([ending.descriptor, front] + ways.map(\.descriptor)).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            let ready = poll(&interest, nfds_t(interest.count), wait)
            deliverDue()
            guard ready > 0 else { continue }
            if interest[0].revents != 0 { return }
            if interest[1].revents != 0 { takeQuestion() }
            for (way, event) in zip(ways, interest.dropFirst(2)) where event.revents != 0 { takeAnswer(way) }
        }
    }

    /// Until the next delayed datagram is due; -1 (for ever) if there is none.
    private var wait: Int32 {
        guard let due = delayed.map(\.due).min() else { return -1 }
        let time = now()
        return due <= time ? 0 : Int32(clamping: (due - time + 999_999) / 1_000_000)
    }

    private func takeQuestion() {
        let (count, sender) = SocketAddress.received {
            recvfrom(front, &buffer, buffer.count, MSG_DONTWAIT, $0, $1)
        }
        guard count >= 0, let sender else { return }
        decide(.toServer, client: sender, bytes: Array(buffer.prefix(count)))
    }

    private func takeAnswer(_ way: (client: SocketAddress, descriptor: Int32)) {
        // Also gets ECONNREFUSED here if the server is not there: to the client that is a loss.
        let count = recv(way.descriptor, &buffer, buffer.count, MSG_DONTWAIT)
        if count >= 0 { decide(.toClient, client: way.client, bytes: Array(buffer.prefix(count))) }
    }

    private func decide(_ direction: Direction, client: SocketAddress, bytes: [UInt8]) {
        counts[direction, default: 0] += 1
        let datagram = Datagram(
            direction: direction, number: counts[direction] ?? 0, client: client, bytes: bytes)
        let fate = weather.fate(of: datagram.number, direction, seed: seed)
        observe(.arrived(datagram, fate))
        switch fate {
        case .lost: return
        case .overtaken: held.append(datagram)
        case .delayed(let milliseconds): delayed.append((now() + UInt64(milliseconds) * 1_000_000, datagram))
        case .delivered: deliver(datagram)
        case .repeated:
            deliver(datagram)
            deliver(datagram)
        }
    }

    private func deliverDue() {
        let time = now()
        let due = delayed.filter { $0.due <= time }.sorted { $0.due < $1.due }
        delayed.removeAll { $0.due <= time }
        for item in due { deliver(item.datagram) }
    }

    /// Hands it on, and behind it those of its direction and client that it has overtaken.
    private func deliver(_ datagram: Datagram) {
        let overtaken = held.filter { $0.direction == datagram.direction && $0.client == datagram.client }
        held.removeAll { $0.direction == datagram.direction && $0.client == datagram.client }
        for datagram in [datagram] + overtaken {
            // Before it is sent: whoever hears it shall already be able to look it up.
            observe(.delivered(datagram, at: now()))
            let bytes = datagram.bytes
            switch datagram.direction {
            case .toServer:
                guard let way = way(of: datagram.client) else { continue }
                _ = send(way, bytes, bytes.count, MSG_DONTWAIT)
            case .toClient:
                _ = datagram.client.withSockaddr { sendto(front, bytes, bytes.count, MSG_DONTWAIT, $0, $1) }
            }
        }
    }

    /// Nil if no socket is to be had: then the datagram is lost.
    private func way(of client: SocketAddress) -> Int32? {
        if let way = ways.first(where: { $0.client == client }) { return way.descriptor }
        guard let descriptor = try? closeOnExecSocket(server.family, SOCK_DGRAM) else { return nil }
        guard server.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            Sockets.close(descriptor)
            return nil
        }
        if ways.count == DatagramNetwork.mostClients { Sockets.close(ways.removeFirst().descriptor) }
        ways.append((client, descriptor))
        return descriptor
    }
}
