import Course
import Foundation
import Solution05
import Sockets

/// A thread for each connection, which receives; one lock around the room and all queues; one thread more that sends
/// what the kernel did not take at once. Nobody waits with the lock in hand: sends under it are MSG_DONTWAIT.
func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try listening(host: host, port: port)
    defer { Sockets.close(listener) }
    let hub = try Hub(rules)
    startThread { hub.flushForEver() }
    var number = 0
    while true {
        let peer = Peer(number, try nextClient(listener))
        number += 1
        hub.add(peer)
        startThread { serve(peer, hub, rules) }
    }
}

func startThread(_ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.stackSize = 1 << 20
    thread.start()
}

private final class Peer: @unchecked Sendable {
    let number: Int
    let descriptor: Int32
    // All of it under the hub's lock, until the peer has been taken out of the hub: then its thread owns it.
    var queue = Output()
    var isMember = false

    init(_ number: Int, _ descriptor: Int32) {
        self.number = number
        self.descriptor = descriptor
    }

    /// Sends what the kernel takes now. False: it is broken.
    func flush() -> Bool {
        while !queue.isEmpty {
            let count = queue.take { send(descriptor, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
            if count < 0 {
                if errno == EINTR { continue }
                return errno == EAGAIN || errno == EWOULDBLOCK
            }
        }
        return true
    }
}

private final class Hub: @unchecked Sendable {
    private let lock = NSLock()
    private var room: Room
    private var peers: [Int: Peer] = [:]
    /// Who has bytes that the kernel did not take.
    private var waiting: [Int: Peer] = [:]
    private let limit: Int
    private let bell: (reading: Int32, writing: Int32)

    init(_ rules: RoomRules) throws {
        room = Room(rules: rules)
        limit = rules.queueLimit
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        bell = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    }

    func add(_ peer: Peer) { lock.withLock { peers[peer.number] = peer } }

    /// - Returns: false if the peer is in the room's hands no longer: it has logged out, or was dropped.
    func receive(_ frame: [UInt8], from peer: Peer) -> Bool {
        lock.withLock {
            guard peers[peer.number] != nil else { return false }
            do {
                // The time is taken in here, so that it does not go back from one message to the next.
                let message = try decodeMessage(frame)
                carryOut(room.receive(message, from: peer.number, at: Date().timeIntervalSince1970))
            } catch MessageError.unknownType {
                carryOut([.send(.error(.unknownType), to: [peer.number])])
            } catch {
                carryOut([.send(.error(.badMessage), to: [peer.number])])
            }
            return peers[peer.number] != nil
        }
    }

    /// - Parameter last: said to the peer before it goes.
    func remove(_ peer: Peer, saying last: ChatMessage? = nil) {
        lock.withLock {
            guard peers[peer.number] != nil else { return }
            if let last { carryOut([.send(last, to: [peer.number])]) }
            guard peers.removeValue(forKey: peer.number) != nil else { return }
            waiting[peer.number] = nil
            carryOut(room.leave(peer.number))
        }
    }

    func isMember(_ peer: Peer) -> Bool { lock.withLock { peer.isMember } }

    private func carryOut(_ deliveries: [Delivery]) {
        var work = deliveries
        var done = 0
        while done < work.count {
            defer { done += 1 }
            switch work[done] {
            case .close(let number):
                peers[number] = nil
                waiting[number] = nil
            case .send(let message, let numbers):
                let frame = prefixed(encodeMessage(message))
                for number in numbers {
                    guard let peer = peers[number] else { continue }
                    if message == .loginResponse(refusal: nil) { peer.isMember = true }
                    let wasWaiting = !peer.queue.isEmpty
                    peer.queue.append(frame)
                    // Who waits already is asked again only when there is too much of it.
                    let isWell = wasWaiting && peer.queue.count <= limit || peer.flush()
                    if !isWell || peer.queue.count > limit {
                        // Its thread is woken by the shutdown, and closes it. The others hear of it behind this.
                        peers[number] = nil
                        waiting[number] = nil
                        peer.queue = Output()
                        shutdown(peer.descriptor, Int32(SHUT_RDWR))
                        work += room.leave(number)
                    } else if peer.queue.isEmpty {
                        waiting[number] = nil
                    } else if waiting.updateValue(peer, forKey: number) == nil {
                        _ = write(bell.writing, [1], 1)
                    }
                }
            }
        }
    }

    func flushForEver() {
        var rubbish = [UInt8](repeating: 0, count: 512)
        while true {
            let round = lock.withLock { Array(waiting.values) }
            var asked = [pollfd(fd: bell.reading, events: Int16(POLLIN), revents: 0)]
            asked += round.map { pollfd(fd: $0.descriptor, events: Int16(POLLOUT), revents: 0) }
            guard poll(&asked, nfds_t(asked.count), -1) > 0 else { continue }
            if asked[0].revents != 0 { _ = read(bell.reading, &rubbish, rubbish.count) }
            lock.withLock {
                for (peer, answer) in zip(round, asked.dropFirst()) where answer.revents != 0 {
                    guard waiting[peer.number] === peer else { continue }
                    if !peer.flush() {
                        peers[peer.number] = nil
                        waiting[peer.number] = nil
                        peer.queue = Output()
                        shutdown(peer.descriptor, Int32(SHUT_RDWR))
                        carryOut(room.leave(peer.number))
                    } else if peer.queue.isEmpty {
                        waiting[peer.number] = nil
                    }
                }
            }
        }
    }
}

private func prefixed(_ json: [UInt8]) -> [UInt8] {
    let count = UInt32(json.count)
    return [UInt8(count >> 24), UInt8(count >> 16 & 0xFF), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF)] + json
}

/// The life of one connection.
private func serve(_ peer: Peer, _ hub: Hub, _ rules: RoomRules) {
    defer { Sockets.close(peer.descriptor) }
    var decoder = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
    var buffer = [UInt8](repeating: 0, count: 8192)
    let patience = now() + rules.loginPatience
    while true {
        if !hub.isMember(peer), wait(peer.descriptor, for: Int32(POLLIN), until: patience) == 0 {
            return hub.remove(peer)
        }
        let count = receiveSome(peer.descriptor, &buffer)
        if count < 0 { return hub.remove(peer) }
        if count == 0 {
            hub.remove(peer)
            return sayGoodbye(peer, hasEnded: true)
        }
        decoder.feed(Array(buffer[..<count]))
        do {
            while let frame = try decoder.next() {
                if !hub.receive(frame, from: peer) { return sayGoodbye(peer, hasEnded: false) }
            }
        } catch {
            hub.remove(peer, saying: .error(.tooLong))
            return sayGoodbye(peer, hasEnded: false)
        }
    }
}

/// Nobody else knows the peer any more. Sends what waits, ends our side, and throws away what comes, until the peer ends
/// its own.
private func sayGoodbye(_ peer: Peer, hasEnded: Bool) {
    var hasEnded = hasEnded
    var hasShut = false
    var buffer = [UInt8](repeating: 0, count: 8192)
    var deadline = now() + 10_000
    while true {
        guard peer.flush() else { return }
        if peer.queue.isEmpty && !hasShut {
            shutdown(peer.descriptor, Int32(SHUT_WR))
            hasShut = true
            deadline = now() + 2000
        }
        if hasShut && hasEnded { return }
        let events = (hasEnded ? 0 : Int32(POLLIN)) | (hasShut ? 0 : Int32(POLLOUT))
        let seen = wait(peer.descriptor, for: events, until: deadline)
        if seen == 0 { return }
        if !hasEnded && seen & ~Int32(POLLOUT) != 0 {
            let count = receiveSome(peer.descriptor, &buffer, MSG_DONTWAIT)
            if count == 0 { hasEnded = true }
            if count < 0 && errno != EAGAIN { return }
        }
    }
}
