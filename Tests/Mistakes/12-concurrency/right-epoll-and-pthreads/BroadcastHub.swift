import Course
import Foundation
import Sockets

/// No thread for a member. What does not go at once is kept, up to a bound, and one thread with epoll sends it when there is
/// room. Nothing that is called under the lock can wait, or comes back for the lock.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private static let most = 1_500_000

    private final class Member {
        let ticket: UInt64
        var kept: [UInt8] = []
        var start = 0
        var isWatched = false
        var isOut = false
        init(_ ticket: UInt64) { self.ticket = ticket }
    }

    private let lock = NSLock()
    private let epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
    private var members: [Int32: Member] = [:]
    private var numbers: [UInt64: Int32] = [:]
    private var lastTicket: UInt64 = 0

    init() {
        precondition(epoll >= 0, "epoll_create1: no descriptor left")
        Thread.detachNewThread { self.run() }
    }

    func join(_ connection: Int32) {
        lock.withLock {
            lastTicket += 1
            members[connection] = Member(lastTicket)
            numbers[lastTicket] = connection
        }
    }

    func leave(_ connection: Int32) {
        lock.withLock {
            guard let member = members.removeValue(forKey: connection) else { return }
            numbers[member.ticket] = nil
            var unused = epoll_event()
            if member.isWatched { epoll_ctl(epoll, EPOLL_CTL_DEL, connection, &unused) }
        }
    }

    func broadcast(_ message: [UInt8]) {
        lock.withLock {
            for (connection, member) in members where !member.isOut {
                let wasEmpty = member.kept.isEmpty
                member.kept += message
                if wasEmpty { push(connection, member) }
                if member.kept.count - member.start > BroadcastHub.most { throwOut(connection, member) }
            }
        }
    }

    /// Sends what it takes now.
    private func push(_ connection: Int32, _ member: Member) {
        while member.start < member.kept.count {
            let count = member.kept[member.start...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                member.start += count
            } else if errno == EAGAIN {
                member.kept.removeFirst(member.start)
                member.start = 0
                return watch(connection, member)
            } else if errno != EINTR {
                return throwOut(connection, member)
            }
        }
        member.kept = []
        member.start = 0
    }

    private func watch(_ connection: Int32, _ member: Member) {
        var event = epoll_event()
        event.events = EPOLLOUT.rawValue | EPOLLONESHOT.rawValue
        event.data.u64 = member.ticket
        let how = member.isWatched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD
        if epoll_ctl(epoll, how, connection, &event) < 0 { return throwOut(connection, member) }
        member.isWatched = true
    }

    /// Its own thread sees the end, leaves, and closes.
    private func throwOut(_ connection: Int32, _ member: Member) {
        member.isOut = true
        member.kept = []
        member.start = 0
        shutdown(connection, SHUT_RDWR)
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 64)
        while true {
            let count = epoll_wait(epoll, &events, Int32(events.count), -1)
            lock.withLock {
                for event in events.prefix(max(0, Int(count))) {
                    // Who has left meanwhile is not found, though the number may be here again.
                    guard let connection = numbers[event.data.u64], let member = members[connection] else { continue }
                    if !member.isOut { push(connection, member) }
                }
            }
        }
    }
}
