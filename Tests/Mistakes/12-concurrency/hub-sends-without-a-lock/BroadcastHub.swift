import Course
import Foundation
import Sockets

final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var members: Set<Int32> = []

    func join(_ connection: Int32) {
        lock.lock()
        members.insert(connection)
        lock.unlock()
    }

    func leave(_ connection: Int32) {
        lock.lock()
        members.remove(connection)
        lock.unlock()
    }

    func broadcast(_ message: [UInt8]) {
        lock.lock()
        let everybody = members
        lock.unlock()
        for member in everybody where !sendAll(member, message) {
            shutdown(member, SHUT_RDWR)
        }
    }
}
