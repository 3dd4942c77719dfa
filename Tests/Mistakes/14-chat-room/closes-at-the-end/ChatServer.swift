import Course
import Foundation
import Solution05
import Sockets

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let server = PollServer(listener, rules)
    while true {
        let ready = try server.wait()
        server.receiveAll(from: ready)
        server.sendAll(to: ready)
        server.sweep()
        try server.acceptAll()
    }
}

/// One connection: bytes in, bytes out.
private final class Peer {
    let id: Int
    let fd: Int32
    var frames = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    var queue: [UInt8] = []
    var sent = 0
    var isTalking = true
    var hasShutDown = false
    var limit: Milliseconds?
    var isDead = false

    init(_ id: Int, _ fd: Int32, _ limit: Milliseconds) {
        self.id = id
        self.fd = fd
        self.limit = limit
    }

    var waiting: Int { queue.count - sent }

    /// - Returns: false if the connection is broken.
    func flush() -> Bool {
        while waiting > 0 {
            let count = queue.withUnsafeBytes {
                send(fd, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { break }
                return false
            }
            sent += count
        }
        if waiting == 0 || sent > 65_536 && sent > queue.count / 2 {
            queue.removeFirst(sent)
            sent = 0
        }
        return true
    }
}

private final class PollServer {
    private let listener: Int32
    private let rules: RoomRules
    private var room: Room
    private var peers: [Int: Peer] = [:]
    private var count = 0
    private var noDescriptors: Milliseconds?
    private var newcomers = false

    init(_ listener: Int32, _ rules: RoomRules) {
        self.listener = listener
        self.rules = rules
        room = Room(rules: rules)
    }

    func wait() throws -> [(Peer, Int32)] {
        let all = peers.values.sorted { $0.id < $1.id }
        var list = [pollfd(fd: listener, events: noDescriptors == nil ? Int16(POLLIN) : 0, revents: 0)]
        for peer in all {
            list.append(pollfd(fd: peer.fd, events: Int16(POLLIN | (peer.waiting > 0 ? POLLOUT : 0)), revents: 0))
        }
        var until = noDescriptors
        for case let limit? in all.map(\.limit) { until = min(until ?? limit, limit) }
        let timeout = until.map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
        while poll(&list, nfds_t(list.count), timeout) < 0 {
            // The limits are looked at again.
            if errno == EINTR { return [] }
            throw SocketError("poll", errno)
        }
        newcomers = list[0].revents != 0
        return zip(all, list.dropFirst()).filter { $1.revents != 0 }.map { ($0, Int32($1.revents)) }
    }

    func receiveAll(from ready: [(Peer, Int32)]) {
        for (peer, events) in ready where events & Int32(POLLIN | POLLHUP | POLLERR) != 0 && !peer.isDead {
            receive(from: peer)
        }
    }

    func sendAll(to ready: [(Peer, Int32)]) {
        for (peer, events) in ready where events & Int32(POLLOUT) != 0 && !peer.isDead {
            if !peer.flush() { bury(peer) } else { endIfDone(peer) }
        }
    }

    /// All that is there, up to the end of the stream if that is there, too.
    private func receive(from peer: Peer) {
        var room = [UInt8](repeating: 0, count: 8192)
        for _ in 0..<8 {
            let got = recv(peer.fd, &room, room.count, MSG_DONTWAIT)
            if got < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { bury(peer) }
                return
            }
            // It has nothing to say any more.
            if got == 0 { return bury(peer) }
            if peer.isTalking { hear(Array(room[..<got]), peer) }
            if peer.isDead || got < room.count && !peer.isTalking { return }
        }
    }

    private func hear(_ bytes: [UInt8], _ peer: Peer) {
        peer.frames.feed(bytes)
        while peer.isTalking && !peer.isDead {
            do {
                guard let frame = try peer.frames.next() else { return }
                perform(answer(frame, peer.id))
            } catch {
                post(.error(.tooLong), to: peer)
                finish(peer)
                perform(room.leave(peer.id))
            }
        }
    }

    private func answer(_ frame: [UInt8], _ id: Int) -> [Delivery] {
        let message: ChatMessage
        do { message = try decodeMessage(frame) } catch MessageError.unknownType {
            return [.send(.error(.unknownType), to: [id])]
        } catch {
            return [.send(.error(.badMessage), to: [id])]
        }
        return room.receive(message, from: id, at: Date().timeIntervalSince1970)
    }

    private func perform(_ deliveries: [Delivery]) {
        var overfull: [Peer] = []
        for delivery in deliveries {
            switch delivery {
            case .send(let message, let ids):
                let frame = Solution05.reference.encodeFrame(encodeMessage(message))
                for peer in ids.compactMap({ peers[$0] }) {
                    if message == .loginResponse(refusal: nil) { peer.limit = nil }
                    post(frame, to: peer)
                    if peer.waiting > rules.queueLimit, !peer.flush() || peer.waiting > rules.queueLimit {
                        overfull.append(peer)
                    }
                }
            case .close(let id): if let peer = peers[id] { finish(peer) }
            }
        }
        overfull.forEach(bury)
    }

    private func post(_ message: ChatMessage, to peer: Peer) {
        post(Solution05.reference.encodeFrame(encodeMessage(message)), to: peer)
    }

    private func post(_ frame: [UInt8], to peer: Peer) {
        if peer.isTalking && !peer.isDead { peer.queue += frame }
    }

    private func finish(_ peer: Peer) {
        peer.isTalking = false
        peer.limit = monotonicMilliseconds() + 2000
        endIfDone(peer)
    }

    private func endIfDone(_ peer: Peer) {
        guard !peer.isTalking, peer.waiting == 0, !peer.hasShutDown else { return }
        peer.hasShutDown = true
        shutdown(peer.fd, SHUT_WR)
    }

    /// The one place where a connection ends.
    private func bury(_ peer: Peer) {
        guard !peer.isDead else { return }
        peer.isDead = true
        peers[peer.id] = nil
        close(peer.fd)
        perform(room.leave(peer.id))
    }

    func sweep() {
        let now = monotonicMilliseconds()
        for peer in peers.values { if let limit = peer.limit, limit <= now { bury(peer) } }
        if let again = noDescriptors, again <= now { noDescriptors = nil }
    }

    func acceptAll() throws {
        guard newcomers else { return }
        newcomers = false
        while true {
            switch try acceptClient(listener) {
            case .nobody: return
            case .noRoom:
                noDescriptors = monotonicMilliseconds() + 100
                return
            case .client(let fd):
                count += 1
                peers[count] = Peer(count, fd, monotonicMilliseconds() + rules.loginPatience)
            }
        }
    }
}
