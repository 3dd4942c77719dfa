import Course
import Foundation
import Solution05
import Sockets

/// What waits for one client. All of it under the server's lock.
private final class Outbox: @unchecked Sendable {
    let socket: Int32
    var bytes: [UInt8] = []
    /// What the writer has taken and not yet sent.
    var inHand = 0
    var isFinished = false
    var isDropped = false
    var isMember = false
    let changed: NSCondition

    init(_ socket: Int32, _ changed: NSCondition) { (self.socket, self.changed) = (socket, changed) }
}

private final class Server: @unchecked Sendable {
    private let condition = NSCondition()
    private var room: Room
    private var outboxes: [Int: Outbox] = [:]
    private let rules: RoomRules

    init(_ rules: RoomRules) {
        self.rules = rules
        room = Room(rules: rules)
    }

    private func locked<Result>(_ body: () throws -> Result) rethrows -> Result {
        condition.lock()
        defer { condition.unlock() }
        return try body()
    }

    /// Under the lock. Bytes only: nobody sends here.
    private func carryOut(_ deliveries: [Delivery]) {
        var late: [Int] = []
        for delivery in deliveries {
            switch delivery {
            case .close(let number): outboxes.removeValue(forKey: number)?.isFinished = true
            case .send(let message, let numbers):
                let body = encodeMessage(message)
                let frame = (0..<4).map { UInt8(truncatingIfNeeded: body.count >> (24 - 8 * $0)) } + body
                for number in numbers {
                    guard let outbox = outboxes[number], !outbox.isFinished else { continue }
                    outbox.bytes += frame
                    if message == .loginResponse(refusal: nil) { outbox.isMember = true }
                    if outbox.bytes.count + outbox.inHand > rules.queueLimit { late.append(number) }
                }
            }
        }
        for number in late {
            guard let outbox = outboxes.removeValue(forKey: number) else { continue }
            outbox.isDropped = true
            shutdown(outbox.socket, Int32(SHUT_RDWR))
            carryOut(room.leave(number))
        }
        condition.broadcast()
    }

    private func write(_ outbox: Outbox) {
        while true {
            let part: [UInt8] = locked {
                outbox.inHand = 0
                while outbox.bytes.isEmpty && !outbox.isFinished && !outbox.isDropped { condition.wait() }
                if outbox.isDropped { return [] }
                defer { outbox.bytes = [] }
                outbox.inHand = outbox.bytes.count
                return outbox.bytes
            }
            if part.isEmpty { break }
            var sent = 0
            while sent < part.count {
                let count = part[sent...].withUnsafeBytes {
                    send(outbox.socket, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                }
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { return }
                sent += count
                locked { outbox.inHand = part.count - sent }
            }
        }
        shutdown(outbox.socket, Int32(SHUT_WR))
    }

    func serve(_ socket: Int32, _ number: Int) {
        let outbox = Outbox(socket, condition)
        locked { outboxes[number] = outbox }
        let written = DispatchSemaphore(value: 0)
        Thread.detachNewThread { [self] in
            write(outbox)
            written.signal()
        }
        read(outbox, number)
        locked {
            outboxes[number] = nil
            carryOut(room.leave(number))
            outbox.isFinished = true
            condition.broadcast()
        }
        if written.wait(timeout: .now() + 2) == .timedOut {
            shutdown(socket, Int32(SHUT_RDWR))
            written.wait()
        }
        var time = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var rest = [UInt8](repeating: 0, count: 4096)
        let end = Date() + 2
        while recv(socket, &rest, rest.count, 0) > 0 && Date() < end {}
        close(socket)
    }

    private func read(_ outbox: Outbox, _ number: Int) {
        var decoder = Solution05.reference.makeFrameDecoder(Lesson14.frameLimit)
        var buffer = [UInt8](repeating: 0, count: 8192)
        let limit = Date() + Double(rules.loginPatience) / 1000
        while true {
            if !locked({ outbox.isMember }) {
                var waiting = pollfd(fd: outbox.socket, events: Int16(POLLIN), revents: 0)
                let left = Int32(max(0, limit.timeIntervalSinceNow * 1000))
                let ready = poll(&waiting, 1, left)
                if ready < 0 { continue }
                if ready == 0 {
                    locked { outbox.isDropped = true }
                    return
                }
            }
            let count = recv(outbox.socket, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            decoder.feed(Array(buffer[..<count]))
            do {
                while let frame = try decoder.next() {
                    let goesOn = locked {
                        guard outboxes[number] != nil else { return false }
                        carryOut(answer(frame, number))
                        return outboxes[number] != nil
                    }
                    if !goesOn { return }
                }
            } catch {
                locked { carryOut([.send(.error(.tooLong), to: [number])]) }
                return
            }
        }
    }

    private func answer(_ frame: [UInt8], _ number: Int) -> [Delivery] {
        do {
            return room.receive(try decodeMessage(frame), from: number, at: Date().timeIntervalSince1970)
        } catch MessageError.unknownType {
            return [.send(.error(.unknownType), to: [number])]
        } catch {
            return [.send(.error(.badMessage), to: [number])]
        }
    }
}

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))
    let server = Server(rules)
    var number = 0
    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) { poll(nil, 0, 50) }
            continue
        }
        number += 1
        let own = number
        Thread.detachNewThread { server.serve(client, own) }
    }
}
