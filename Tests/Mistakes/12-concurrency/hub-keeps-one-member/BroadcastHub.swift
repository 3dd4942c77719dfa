import Course
import Foundation
import Sockets

final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: [Int32: Outbox] = [:]

    func join(_ connection: Int32) {
        let outbox = Outbox(connection)
        lock.withLock { members = [connection: outbox] }
        Thread.detachNewThread { outbox.deliver() }
    }

    func leave(_ connection: Int32) {
        let outbox = lock.withLock { members.removeValue(forKey: connection) }
        outbox?.end()
    }

    func broadcast(_ message: [UInt8]) {
        let everybody = lock.withLock { Array(members.values) }
        for outbox in everybody { outbox.put(message) }
    }
}

private final class Outbox: @unchecked Sendable {
    private static let most = 1 << 20

    private let connection: Int32
    private let condition = NSCondition()
    private var messages: [[UInt8]] = []
    private var count = 0
    private var isOver = false
    private var isDelivering = false

    init(_ connection: Int32) { self.connection = connection }

    func put(_ message: [UInt8]) {
        condition.withLock {
            guard !isOver else { return }
            messages.append(message)
            count += message.count
            if count > Outbox.most { throwOut() }
            condition.broadcast()
        }
    }

    func deliver() {
        condition.withLock { isDelivering = true }
        while let batch = next() {
            guard sendAll(connection, batch) else { break }
        }
        condition.withLock {
            throwOut()
            isDelivering = false
            condition.broadcast()
        }
    }

    private func next() -> [UInt8]? {
        condition.withLock {
            while messages.isEmpty && !isOver { condition.wait() }
            guard !isOver else { return nil }
            defer { (messages, count) = ([], 0) }
            return messages.flatMap { $0 }
        }
    }

    func end() {
        condition.withLock {
            throwOut()
            condition.broadcast()
            while isDelivering { condition.wait() }
        }
    }

    private func throwOut() {
        guard !isOver else { return }
        isOver = true
        messages = []
        shutdown(connection, SHUT_RDWR)
    }
}
