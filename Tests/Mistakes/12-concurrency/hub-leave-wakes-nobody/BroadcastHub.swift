import Course
import Foundation
import Sockets

/// Connections that all get the same messages.
///
/// Two rules keep it from standing still. The lock is held to look at the list, and never while anything is sent, or another
/// method is called. And nobody sends to a member but its own thread: who is slow delays itself.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: [Int32: Outbox] = [:]

    func join(_ connection: Int32) {
        let outbox = Outbox(connection)
        lock.withLock { members[connection] = outbox }
        Thread.detachNewThread { outbox.deliver() }
    }

    func leave(_ connection: Int32) {
        // Taken out under the lock; ended, which has to wait, without it.
        let outbox = lock.withLock { members.removeValue(forKey: connection) }
        outbox?.end()
    }

    func broadcast(_ message: [UInt8]) {
        // A copy: whoever joins or leaves meanwhile changes the list, and not what we go through.
        let everybody = lock.withLock { Array(members.values) }
        for outbox in everybody { outbox.put(message) }
    }
}

/// What one member has still to get.
private final class Outbox: @unchecked Sendable {
    /// Who is further behind than this, in bytes, is thrown out.
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

    /// Runs on the member's own thread until it is over.
    func deliver() {
        condition.withLock { isDelivering = true }
        while let batch = next() {
            guard sendAll(connection, batch) else { break }
        }
        condition.withLock {
            throwOut()
            isDelivering = false
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

    /// When it returns, nobody here uses the connection any more. A thread that starts only now finds that it is over; one
    /// that the system never started is not waited for.
    func end() {
        condition.withLock {
            throwOut()
            condition.broadcast()
            while isDelivering { condition.wait() }
        }
    }

    /// Under the lock. Shut down, not closed: a send that waits comes back, whoever receives sees the end, and the
    /// descriptor is still its owner's to close.
    private func throwOut() {
        guard !isOver else { return }
        isOver = true
        messages = []
        shutdown(connection, SHUT_RDWR)
    }
}
