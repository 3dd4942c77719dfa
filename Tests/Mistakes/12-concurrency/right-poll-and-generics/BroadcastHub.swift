import Course
import Foundation
import Sockets

/// A thread for each member, which is waited for when it leaves.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: [Int32: Postman] = [:]

    func join(_ connection: Int32) {
        let postman = Postman(connection)
        lock.lock()
        members[connection] = postman
        lock.unlock()
        postman.start()
    }

    func leave(_ connection: Int32) {
        lock.lock()
        let postman = members.removeValue(forKey: connection)
        lock.unlock()
        postman?.dismiss()
    }

    func broadcast(_ message: [UInt8]) {
        lock.lock()
        let everybody = Array(members.values)
        lock.unlock()
        for postman in everybody { postman.deliver(message) }
    }
}

private final class Postman: @unchecked Sendable {
    private enum State { case working, over }

    private static let bound = 3 << 19
    private let connection: Int32
    private let condition = NSCondition()
    private var state = State.working
    private var bag: [[UInt8]] = []
    private var weight = 0
    private let home = DispatchSemaphore(value: 0)

    init(_ connection: Int32) {
        self.connection = connection
    }

    func start() {
        let thread = Thread { self.work() }
        thread.stackSize = 1 << 18
        thread.start()
    }

    func deliver(_ message: [UInt8]) {
        condition.lock()
        defer { condition.unlock() }
        guard state == .working else { return }
        bag.append(message)
        weight += message.count
        if weight > Postman.bound { giveUp() }
        condition.broadcast()
    }

    /// Called by the member's own thread, once.
    func dismiss() {
        condition.lock()
        giveUp()
        condition.broadcast()
        condition.unlock()
        home.wait()
    }

    /// Under the condition's lock.
    private func giveUp() {
        guard state == .working else { return }
        state = .over
        bag = []
        shutdown(connection, SHUT_RDWR)
    }

    private func work() {
        while let messages = next() {
            if messages.allSatisfy(pass) { continue }
            condition.lock()
            giveUp()
            condition.unlock()
        }
        home.signal()
    }

    private func next() -> [[UInt8]]? {
        condition.lock()
        defer { condition.unlock() }
        while bag.isEmpty && state == .working { condition.wait() }
        guard state == .working else { return nil }
        defer {
            bag = []
            weight = 0
        }
        return bag
    }

    private func pass(_ message: [UInt8]) -> Bool {
        message.withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = send(connection, bytes.baseAddress! + sent, bytes.count - sent, MSG_NOSIGNAL)
                if count >= 0 { sent += count } else if errno != EINTR { return false }
            }
            return true
        }
    }
}
