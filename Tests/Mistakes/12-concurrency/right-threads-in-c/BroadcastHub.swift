import Course
import Foundation
import Sockets

/// One thread sends for everybody: it polls the members for which something is left, and a pipe that wakes it.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private struct Member {
        var pending: [UInt8] = []
        var isOut = false
    }

    private let condition = NSCondition()
    private var members: [Int32: Member] = [:]
    private var isPolling = false
    private var round = 0
    private let wakeRead: Int32
    private let wakeWrite: Int32
    private let bound = 2 << 20

    init() {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { fatalError("pipe") }
        (wakeRead, wakeWrite) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        Thread.detachNewThread { [self] in deliver() }
    }

    func join(_ connection: Int32) {
        condition.lock()
        members[connection] = Member()
        condition.unlock()
    }

    func leave(_ connection: Int32) {
        condition.lock()
        members[connection] = nil
        // Until the poll that may hold the number is over.
        let mine = round
        wake()
        while isPolling && round == mine { condition.wait() }
        condition.unlock()
    }

    func broadcast(_ message: [UInt8]) {
        condition.lock()
        for fd in members.keys where !members[fd]!.isOut {
            if members[fd]!.pending.count + message.count > bound {
                throwOut(fd)
            } else {
                members[fd]!.pending += message
            }
        }
        wake()
        condition.unlock()
    }

    private func throwOut(_ fd: Int32) {
        members[fd]!.isOut = true
        members[fd]!.pending = []
        shutdown(fd, SHUT_RDWR)
    }

    private func wake() { _ = write(wakeWrite, [0], 1) }

    private func deliver() {
        var junk = [UInt8](repeating: 0, count: 512)
        while true {
            condition.lock()
            var polled = members.filter { !$0.value.pending.isEmpty }
                .map { pollfd(fd: $0.key, events: Int16(POLLOUT), revents: 0) }
            polled.append(pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0))
            isPolling = true
            condition.unlock()
            poll(&polled, nfds_t(polled.count), -1)
            while read(wakeRead, &junk, junk.count) > 0 {}
            condition.lock()
            isPolling = false
            round += 1
            condition.broadcast()
            for p in polled where p.fd != wakeRead && p.revents != 0 {
                while let member = members[p.fd], !member.pending.isEmpty {
                    let n = send(p.fd, member.pending, member.pending.count, MSG_NOSIGNAL | MSG_DONTWAIT)
                    if n >= 0 {
                        members[p.fd]!.pending.removeFirst(n)
                    } else if errno == EAGAIN {
                        break
                    } else if errno != EINTR {
                        throwOut(p.fd)
                    }
                }
            }
            condition.unlock()
        }
    }
}
