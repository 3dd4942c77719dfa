import Course
import Foundation
import Sockets

// No thread: what a member's buffer does not take at once throws it out.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: Set<Int32> = []

    func join(_ connection: Int32) {
        lock.lock()
        defer { lock.unlock() }
        members.insert(connection)
    }

    func leave(_ connection: Int32) {
        lock.lock()
        defer { lock.unlock() }
        members.remove(connection)
    }

    // The lock is held, but nothing in here waits: so it is never held for long.
    func broadcast(_ message: [UInt8]) {
        lock.lock()
        defer { lock.unlock() }
        for member in members where !offer(message, to: member) {
            members.remove(member)
            shutdown(member, SHUT_RDWR)
        }
    }

    private func offer(_ message: [UInt8], to member: Int32) -> Bool {
        var rest = message[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(member, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
