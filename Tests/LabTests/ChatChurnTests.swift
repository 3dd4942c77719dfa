import Course
import Foundation
import GraderKit
import Sockets
import XCTest

/// The chat room under churn: members come, talk, flood, stop reading, leave and are cut off, and every message that is
/// delivered is accounted for. A few seconds long, or LAB_CHURN_SECONDS.
final class ChatChurnTests: XCTestCase {
    func testEveryMessageIsAccountedFor() throws {
        let seconds = ProcessInfo.processInfo.environment["LAB_CHURN_SECONDS"].flatMap(Double.init) ?? 4
        let folder = NSTemporaryDirectory() + "/churn-" + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let server = try Subject.unwatched(.solution(Lesson14.slug, products: Program.products), in: folder)
        defer { server.stop() }
        guard case .at(let address) = try server.startServing("chat-server", host: "127.0.0.1", port: 0) else {
            return XCTFail("no server")
        }
        let churn = Churn(address, seed: UInt64.random(in: .min ... .max))
        let end = Date(timeIntervalSinceNow: seconds)
        var warm: Int?
        while Date() < end {
            try churn.step()
            if warm == nil, end.timeIntervalSinceNow < seconds * 0.7 { warm = server.peakMemory }
        }
        try churn.finish()
        let grown = (server.peakMemory - (warm ?? 0)) >> 20
        print(churn.summary + ", \(grown) MB more than after the first third")
        XCTAssertEqual(churn.faults, [], "seed \(churn.seed)")
        XCTAssertGreaterThan(churn.delivered, 100)
        // Forty members of which each may have 1 MiB waiting.
        XCTAssertLessThan(grown, 64)
    }
}

/// Forty clients in one thread, and what each of them has heard.
private final class Churn {
    let seed: UInt64
    private(set) var faults: [String] = []
    private(set) var delivered = 0
    private var random: SeededGenerator
    private let address: SocketAddress
    private var clients: [Client] = []
    private var born = 0
    private var ends: [String: Int] = [:]
    /// What stands in a frame; one message is the same bytes for all.
    private var known: [Data: ChatMessageFields] = [:]

    private struct ChatMessageFields: Decodable {
        var type: String
        var success: Bool?
        var id: Int?
        var username: String?
        var content: String?
    }

    private final class Client {
        let name: String
        let descriptor: Int32
        var input: [UInt8] = []
        var output: [UInt8] = []
        var isMember = false
        var reads = true
        /// It may be closed by the server: it reads nothing.
        var mayBeDropped = false
        var hasLoggedOut = false
        var lastID: Int?
        /// How many of its own messages it has sent, and how many came back.
        var said = 0
        var returned = 0
        /// The number of each other member's last message.
        var heard: [String: Int] = [:]

        init(_ name: String, _ descriptor: Int32) { (self.name, self.descriptor) = (name, descriptor) }

        func say(_ object: [String: String]) {
            let body = (try? JSONSerialization.data(withJSONObject: object)) ?? Data()
            output += withUnsafeBytes(of: UInt32(body.count).bigEndian, Array.init) + body
        }

        func chat() {
            said += 1
            say(["type": "chat", "content": "\(said)"])
        }
    }

    init(_ address: SocketAddress, seed: UInt64) {
        (self.address, self.seed) = (address, seed)
        random = SeededGenerator(seed: seed)
        signal(SIGPIPE, SIG_IGN)
    }

    deinit { for client in clients { close(client.descriptor) } }

    var summary: String {
        "\(born) clients, \(delivered) deliveries, "
            + ends.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
    }

    func step() throws {
        if clients.count < 40 { try join() }
        for client in clients where client.isMember && !client.hasLoggedOut {
            switch Int.random(in: 0..<400, using: &random) {
            case 0..<40: client.chat()
            // A flood, but less than may wait for anybody.
            case 40: for _ in 0..<100 { client.chat() }
            case 41:
                client.say(["type": "logout"])
                client.hasLoggedOut = true
            case 42: end(client, "closed")
            case 43:
                var linger = linger(l_onoff: 1, l_linger: 0)
                setsockopt(
                    client.descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
                end(client, "reset")
            case 44:
                client.output += [0xFF, 0xFF, 0xFF, 0xFF]
                client.mayBeDropped = true
                client.hasLoggedOut = true
            case 45 where clients.filter({ !$0.reads }).count < 3:
                client.reads = false
                client.mayBeDropped = true
            case 46 where !client.reads: client.reads = true
            default: break
            }
        }
        try exchange(patience: 5)
    }

    /// All that was said is heard, and all log out.
    func finish() throws {
        for client in clients {
            client.reads = true
            if client.isMember, !client.hasLoggedOut {
                client.say(["type": "logout"])
                client.hasLoggedOut = true
            }
        }
        let deadline = Date(timeIntervalSinceNow: 30)
        while !clients.isEmpty && Date() < deadline {
            try exchange(patience: 100)
            for client in clients where client.isMember && !client.hasLoggedOut {
                client.say(["type": "logout"])
                client.hasLoggedOut = true
            }
        }
        if !clients.isEmpty { faults.append("\(clients.count) clients were never let go") }
    }

    private func join() throws {
        let descriptor = try check("socket", socket(address.family, SOCK_STREAM | Int32(SOCK_CLOEXEC.rawValue), 0))
        try check("connect", address.withSockaddr { connect(descriptor, $0, $1) })
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        born += 1
        let client = Client("c\(born)", descriptor)
        client.say(["type": "login", "username": client.name])
        clients.append(client)
    }

    private func end(_ client: Client, _ how: String) {
        close(client.descriptor)
        clients.removeAll { $0 === client }
        ends[how, default: 0] += 1
    }

    private func exchange(patience: Int32) throws {
        var polled = clients.map {
            pollfd(
                fd: $0.descriptor,
                events: ($0.reads ? Int16(POLLIN) : 0) | ($0.output.isEmpty ? 0 : Int16(POLLOUT)), revents: 0)
        }
        guard poll(&polled, nfds_t(polled.count), patience) > 0 else { return }
        for (client, entry) in zip(clients, polled) where entry.revents != 0 {
            if !client.output.isEmpty {
                let count = send(client.descriptor, client.output, client.output.count, MSG_NOSIGNAL)
                if count > 0 { client.output.removeFirst(count) }
            }
            if client.reads || entry.revents & Int16(POLLHUP | POLLERR) != 0 { receive(client) }
        }
    }

    private func receive(_ client: Client) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(client.descriptor, &buffer, buffer.count, 0)
            if count > 0 {
                client.input += buffer[..<count]
                takeFrames(client)
                continue
            }
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            if client.hasLoggedOut {
                if !client.mayBeDropped, client.returned != client.said {
                    faults.append("\(client.name) said \(client.said), and \(client.returned) came back")
                }
                end(client, client.mayBeDropped ? "dropped" : "logged out")
            } else {
                if !client.mayBeDropped { faults.append("\(client.name) was cut off") }
                end(client, "dropped")
            }
            return
        }
    }

    private func takeFrames(_ client: Client) {
        var start = 0
        while client.input.count - start >= 4 {
            let length = client.input[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
            guard client.input.count - start - 4 >= length else { break }
            note(Data(client.input[start + 4..<start + 4 + length]), client)
            start += 4 + length
        }
        client.input.removeFirst(start)
    }

    private func note(_ frame: Data, _ client: Client) {
        if known.count > 5000 { known = [:] }
        if known[frame] == nil { known[frame] = try? JSONDecoder().decode(ChatMessageFields.self, from: frame) }
        guard let fields = known[frame] else { return faults.append("\(client.name) got what is no message") }
        delivered += 1
        switch fields.type {
        case "login_response": client.isMember = fields.success == true
        case "chat_message":
            guard let id = fields.id, let name = fields.username, let number = fields.content.flatMap({ Int($0) })
            else { return faults.append("\(client.name) got a chat message without its fields") }
            if let last = client.lastID, id != last + 1 { faults.append("\(client.name) got \(id) behind \(last)") }
            client.lastID = id
            if let last = client.heard[name], number != last + 1 {
                faults.append("\(client.name) got \(number) of \(name) behind \(last)")
            }
            client.heard[name] = number
            if name == client.name { client.returned += 1 }
        case "user_joined": break
        case "user_left": client.heard[fields.username ?? ""] = nil
        default: break
        }
    }
}
