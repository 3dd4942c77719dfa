import Course
import Foundation
import Sockets

final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: [Int32: Member] = [:]

    func join(_ connection: Int32) {
        let member = Member(connection)
        lock.lock()
        members[connection] = member
        lock.unlock()
        member.start()
    }

    func leave(_ connection: Int32) {
        lock.lock()
        let member = members.removeValue(forKey: connection)
        lock.unlock()
        member?.stop()
    }

    func broadcast(_ message: [UInt8]) {
        lock.lock()
        let now = members.map(\.value)
        lock.unlock()
        now.forEach { $0.tell(message) }
    }
}

private final class Member: @unchecked Sendable {
    /// A member that costs more memory than this is thrown out.
    private static let bound = 1_048_576

    private let connection: Int32
    private let guardian = NSCondition()
    private var inbox: [UInt8] = []
    private var used = 0
    private var isOut = false
    private var threadIsDone = false

    init(_ connection: Int32) { self.connection = connection }

    func start() {
        Thread.detachNewThread { self.sendForEver() }
    }

    func tell(_ message: [UInt8]) {
        guardian.lock()
        defer { guardian.unlock() }
        if isOut { return }
        used += message.count
        if used > Member.bound {
            throwOut()
            return
        }
        inbox += message
        guardian.signal()
    }

    func stop() {
        guardian.lock()
        throwOut()
        while !threadIsDone { guardian.wait() }
        guardian.unlock()
    }

    /// Under the lock.
    private func throwOut() {
        if !isOut { shutdown(connection, SHUT_RDWR) }
        isOut = true
        inbox = []
        guardian.broadcast()
    }

    private func sendForEver() {
        guardian.lock()
        while !isOut {
            if inbox.isEmpty {
                guardian.wait()
                continue
            }
            let bytes = inbox
            inbox = []
            guardian.unlock()
            let isThere = sendAll(connection, bytes)
            guardian.lock()
            if !isThere { throwOut() }
        }
        threadIsDone = true
        guardian.broadcast()
        guardian.unlock()
    }
}
