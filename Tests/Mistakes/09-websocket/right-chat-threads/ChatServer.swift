import Course
import Foundation
import Sockets

func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    let listener = try makeBlockingListener(host: host, port: port)
    defer { close(listener) }
    let room = Room(rules)
    while true {
        let descriptor = accept(listener, nil, nil)
        if descriptor >= 0 {
            Guest(descriptor, room).start()
            continue
        }
        switch errno {
        case EINTR, ECONNABORTED: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(20_000)
        default: throw SocketError("accept", errno)
        }
    }
}

private func makeBlockingListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt",
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        return listener
    } catch {
        close(listener)
        throw error
    }
}

/// Who is there. The lock is held to look at the list and to fill queues, never while something waits.
private final class Room: @unchecked Sendable {
    let rules: ChatRules
    private let lock = NSLock()
    private var guests: [ObjectIdentifier: Guest] = [:]

    init(_ rules: ChatRules) { self.rules = rules }

    func enter(_ guest: Guest) { lock.withLock { guests[ObjectIdentifier(guest)] = guest } }
    func leave(_ guest: Guest) { lock.withLock { guests[ObjectIdentifier(guest)] = nil } }

    func pass(_ opcode: Opcode, _ payload: [UInt8], from sender: Guest) {
        let frame = encodeFrame(opcode, payload)
        lock.withLock {
            for guest in guests.values where guest !== sender || rules.echoesToSender { guest.queue(frame) }
        }
    }
}

/// One connection: its reader begins the writer, and closes when the writer has ended.
private final class Guest: @unchecked Sendable {
    private let descriptor: Int32
    private let room: Room
    private let condition = NSCondition()
    private var waiting: [UInt8] = []
    private var isEnding = false
    private var writerHasEnded = false

    init(_ descriptor: Int32, _ room: Room) {
        self.descriptor = descriptor
        self.room = room
    }

    func start() {
        for body in [read, write] {
            let thread = Thread(block: body)
            thread.stackSize = 512 << 10
            thread.start()
        }
    }

    func queue(_ bytes: [UInt8]) {
        condition.withLock {
            guard !isEnding else { return }
            waiting += bytes
            // Who does not read is shut out: reader and writer come back from whatever they wait in.
            if waiting.count > room.rules.queueLimit {
                isEnding = true
                waiting = []
                shutdown(descriptor, SHUT_RDWR)
            }
            condition.broadcast()
        }
    }

    private func write() {
        while true {
            condition.lock()
            while waiting.isEmpty && !isEnding { condition.wait() }
            let bytes = waiting
            waiting = []
            condition.unlock()
            guard !bytes.isEmpty, send(bytes) else { break }
        }
        condition.withLock {
            isEnding = true
            writerHasEnded = true
            condition.broadcast()
        }
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Sockets.send(descriptor, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL)
            }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return false }
            sent += count
        }
        return true
    }

    private func read() {
        var connection = Connection(
            allowedOrigins: room.rules.allowedOrigins, messageLimit: room.rules.messageLimit, page: room.rules.page)
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var isMember = false
        while connection.state != .finished {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            connection.feed(Array(buffer[..<count]))
            if connection.state == .open && !isMember {
                take(&connection)
                isMember = true
                room.enter(self)
            }
            while let event = connection.nextEvent() {
                take(&connection)
                switch event {
                case .text(let bytes): room.pass(.text, bytes, from: self)
                case .binary(let bytes): room.pass(.binary, bytes, from: self)
                default: break
                }
            }
            take(&connection)
        }
        room.leave(self)
        condition.lock()
        // What was said last is still sent.
        while !waiting.isEmpty && !writerHasEnded {
            isEnding = true
            condition.broadcast()
            condition.wait()
        }
        isEnding = true
        condition.broadcast()
        while !writerHasEnded { condition.wait() }
        condition.unlock()
        if connection.state == .finished {
            shutdown(descriptor, SHUT_WR)
            var limit = timeval(tv_sec: 2, tv_usec: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            while recv(descriptor, &buffer, buffer.count, 0) > 0 {}
        }
        close(descriptor)
    }

    private func take(_ connection: inout Connection) {
        guard !connection.output.isEmpty else { return }
        let bytes = connection.output.withUnsafeBytes { Array($0) }
        connection.hasSent(bytes.count)
        queue(bytes)
    }
}
