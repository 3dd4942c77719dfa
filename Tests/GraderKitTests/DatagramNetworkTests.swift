// The bad network for UDP: what its seed decides, and that it does to datagrams what it says.
import Foundation
import Sockets
import XCTest

@testable import GraderKit

final class DatagramNetworkTests: XCTestCase {
    private typealias Weather = DatagramNetwork.Weather

    private static let fine = DatagramNetwork.Weather(lost: 0, repeated: 0, delayed: 0, overtaken: 0, delay: 0...0)

    func testTheSeedAndTheNumberDecideTheFate() {
        let weather = Weather(delay: 10...90)
        let fates = (1...200).map { weather.fate(of: $0, .toServer, seed: 7) }
        XCTAssertEqual(fates, (1...200).map { weather.fate(of: $0, .toServer, seed: 7) })
        XCTAssertNotEqual(fates, (1...200).map { weather.fate(of: $0, .toServer, seed: 8) })
        XCTAssertNotEqual(fates, (1...200).map { weather.fate(of: $0, .toClient, seed: 7) })
        for fate: DatagramNetwork.Fate in [.delivered, .lost, .repeated, .overtaken] {
            XCTAssertTrue(fates.contains(fate), "\(fate)")
        }
        let delays = fates.compactMap { if case .delayed(let milliseconds) = $0 { milliseconds } else { nil } }
        XCTAssertFalse(delays.isEmpty)
        XCTAssertTrue(delays.allSatisfy((10...90).contains))
    }

    func testNotTooManyAreLostInARow() {
        let weather = Weather(lost: 80, repeated: 0, delayed: 0, overtaken: 0, delay: 0...0, mostLostInARow: 2)
        for seed: UInt64 in 1...20 {
            var row = 0
            for number in 1...300 {
                row = weather.fate(of: number, .toServer, seed: seed) == .lost ? row + 1 : 0
                XCTAssertLessThanOrEqual(row, 2, "seed \(seed), datagram \(number)")
            }
        }
    }

    func testAnswersComeBackToWhomTheyBelong() throws {
        let server = try Peer()
        let network = try DatagramNetwork(to: server.address, weather: Self.fine, seed: 1)
        defer { network.close() }
        let clients = [try Peer(), try Peer()]
        for (index, client) in clients.enumerated() { client.send([UInt8(index)], to: network.address) }
        for _ in clients {
            let (question, sender) = try XCTUnwrap(server.receive())
            server.send(question + [9], to: sender)
        }
        for (index, client) in clients.enumerated() {
            let (answer, sender) = try XCTUnwrap(client.receive())
            XCTAssertEqual(answer, [UInt8(index), 9])
            XCTAssertEqual(sender, network.address)
        }
    }

    func testALostOneDoesNotArriveAndARepeatedOneArrivesTwice() throws {
        let weather = Weather(lost: 50, repeated: 50, delayed: 0, overtaken: 0, delay: 0...0)
        let seed = try seed(weather, [.lost, .repeated])
        XCTAssertEqual(try passed([[1], [2]], weather, seed, arriving: 2), [[2], [2]])
    }

    func testAnOvertakenOneArrivesBehindTheNext() throws {
        let weather = Weather(lost: 0, repeated: 0, delayed: 0, overtaken: 50, delay: 0...0)
        let seed = try seed(weather, [.overtaken, .delivered])
        XCTAssertEqual(try passed([[1], [2]], weather, seed, arriving: 2), [[2], [1]])
    }

    func testADelayedOneArrivesLater() throws {
        let weather = Weather(lost: 0, repeated: 0, delayed: 50, overtaken: 0, delay: 50...50)
        let seed = try seed(weather, [.delayed(milliseconds: 50), .delivered])
        let began = now()
        XCTAssertEqual(try passed([[1], [2]], weather, seed, arriving: 2), [[2], [1]])
        XCTAssertGreaterThanOrEqual(now() - began, 50_000_000)
    }

    /// A seed that decides so for the first datagrams to the server.
    private func seed(_ weather: Weather, _ fates: [DatagramNetwork.Fate]) throws -> UInt64 {
        try XCTUnwrap(
            (1...10_000).first { seed in
                fates.indices.allSatisfy { weather.fate(of: $0 + 1, .toServer, seed: seed) == fates[$0] }
            })
    }

    /// What arrives at the server of what one client sends, in order.
    private func passed(_ datagrams: [[UInt8]], _ weather: Weather, _ seed: UInt64, arriving count: Int) throws
        -> [[UInt8]]
    {
        let server = try Peer()
        let network = try DatagramNetwork(to: server.address, weather: weather, seed: seed)
        let client = try Peer()
        for datagram in datagrams { client.send(datagram, to: network.address) }
        let got = try (0..<count).map { _ in try XCTUnwrap(server.receive()).bytes }
        // Nothing is sent any more once it is closed, so whatever is to come is here.
        network.close()
        XCTAssertNil(server.receive(wait: false))
        return got
    }
}

/// A UDP socket on loopback.
private final class Peer {
    let address: SocketAddress
    private let descriptor: Int32

    init() throws {
        descriptor = try closeOnExecSocket(AF_INET, SOCK_DGRAM)
        let descriptor = descriptor
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
        address = try SocketAddress.local(of: descriptor)
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8], to destination: SocketAddress) {
        XCTAssertEqual(
            destination.withSockaddr { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }, bytes.count)
    }

    func receive(wait: Bool = true) -> (bytes: [UInt8], sender: SocketAddress)? {
        var buffer = [UInt8](repeating: 0, count: 2048)
        let (count, sender) = SocketAddress.received {
            recvfrom(descriptor, &buffer, buffer.count, wait ? 0 : MSG_DONTWAIT, $0, $1)
        }
        guard count >= 0, let sender else { return nil }
        return (Array(buffer.prefix(count)), sender)
    }
}
