import Course
import Foundation
import Sockets

/// Tasks over an epoll of their own: one thread waits for all of them.
@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try openListener(host, port, SOCK_NONBLOCK)
    let events: EventThread
    do { events = try EventThread() } catch {
        close(listener)
        throw error
    }
    defer { events.end() }
    let guests = Guests()
    try await withThrowingDiscardingTaskGroup { group in
        var failure: SocketError?
        while !Task.isCancelled && failure == nil {
            switch acceptOnce(listener, SOCK_NONBLOCK) {
            case .connection(let fd):
                guests.enter(fd)
                group.addTask {
                    await entertain(fd, events)
                    guests.leave(fd)
                }
                await Task.yield()
            case .nobody: break
            case .notYet: await events.ready(listener, EPOLLIN.rawValue, untilCancelled: true)
            case .noRoom: await events.pause(50)
            case .failure(let error): failure = error
            }
        }
        close(listener)
        guests.shutDown(SHUT_RD)
        events.after(grace) { guests.shutDown(SHUT_RDWR) }
        if let failure { throw failure }
    }
}

private func entertain(_ fd: Int32, _ events: EventThread) async {
    var buffer = [UInt8](repeating: 0, count: 12_000)
    while true {
        let count = recv(fd, &buffer, buffer.count, 0)
        if count < 0 {
            switch errno {
            case EINTR: break
            case EAGAIN: await events.ready(fd, EPOLLIN.rawValue)
            default: return
            }
            continue
        }
        if count == 0 { return }
        buffer.withUnsafeMutableBytes { shout(UnsafeMutableRawBufferPointer(rebasing: $0[..<count])) }
        var sent = 0
        while sent < count {
            let taken = buffer[sent..<count].withUnsafeBytes { send(fd, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if taken >= 0 {
                sent += taken
                continue
            }
            switch errno {
            case EINTR: break
            case EAGAIN: await events.ready(fd, EPOLLOUT.rawValue)
            default: return
            }
        }
        await Task.yield()
    }
}

/// Who is connected. A number is closed and shut down under the same lock.
private final class Guests: @unchecked Sendable {
    private let lock = NSLock()
    private var present: Set<Int32> = []

    func enter(_ fd: Int32) { lock.withLock { _ = present.insert(fd) } }

    func leave(_ fd: Int32) {
        lock.withLock {
            present.remove(fd)
            _ = close(fd)
        }
    }

    func shutDown(_ how: Int32) {
        lock.withLock {
            for fd in present { shutdown(fd, how) }
        }
    }
}

/// epoll_wait for everybody, and the time as well. What waits has a ticket: a number that is never used again, so an event
/// that comes too late finds nobody.
private final class EventThread: @unchecked Sendable {
    private enum Sleeper {
        case arriving
        case asleep(CheckedContinuation<Void, Never>)
        case calledAlready
    }

    private let lock = NSLock()
    private let epoll: Int32
    private let bell: Int32
    private var sleepers: [UInt64: Sleeper] = [:]
    private var alarms: [(time: ContinuousClock.Instant, ring: @Sendable () -> Void)] = []
    private var lastTicket: UInt64 = 0
    private var isOver = false

    init() throws {
        let epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        let bell = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = 0
        guard bell >= 0, epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event) == 0 else {
            let error = SocketError(bell < 0 ? "eventfd" : "epoll_ctl", errno)
            if bell >= 0 { close(bell) }
            close(epoll)
            throw error
        }
        (self.epoll, self.bell) = (epoll, bell)
        Thread.detachNewThread { self.run() }
    }

    /// The thread closes what it used.
    func end() {
        lock.withLock {
            isOver = true
            ring()
        }
    }

    func ready(_ fd: Int32, _ wanted: UInt32, untilCancelled: Bool = false) async {
        let ticket = lock.withLock {
            lastTicket += 1
            sleepers[lastTicket] = .arriving
            return lastTicket
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                lock.withLock {
                    if case .calledAlready? = sleepers[ticket] {
                        sleepers[ticket] = nil
                        return continuation.resume()
                    }
                    sleepers[ticket] = .asleep(continuation)
                    var event = epoll_event()
                    event.events = wanted | EPOLLONESHOT.rawValue
                    event.data.u64 = ticket
                    if epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0 { return }
                    if epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 { return }
                    // The kernel has no room for it now: let it try again a little later.
                    alarms.append((.now + .milliseconds(50), { self.call(ticket) }))
                    ring()
                }
            }
        } onCancel: {
            if untilCancelled { call(ticket) }
        }
    }

    func pause(_ time: Milliseconds) async {
        await withCheckedContinuation { continuation in
            after(time) { continuation.resume() }
        }
    }

    func after(_ time: Milliseconds, _ action: @escaping @Sendable () -> Void) {
        lock.withLock {
            alarms.append((.now + .milliseconds(time), action))
            ring()
        }
    }

    private func call(_ ticket: UInt64) {
        lock.withLock {
            switch sleepers[ticket] {
            case .asleep(let continuation):
                sleepers[ticket] = nil
                continuation.resume()
            case .arriving: sleepers[ticket] = .calledAlready
            case .calledAlready, nil: break
            }
        }
    }

    /// Under the lock, and so never after the end.
    private func ring() {
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            let (due, wait, isOver) = lock.withLock {
                let now = ContinuousClock.now
                let due = alarms.filter { $0.time <= now }
                alarms.removeAll { $0.time <= now }
                let next = alarms.map(\.time).min()
                // Rounded up: a millisecond too early would be a turn for nothing.
                let wait = next.map { Int32(clamping: Int64(($0 - now) / .milliseconds(1)) + 1) } ?? -1
                return (due, due.isEmpty ? wait : 0, self.isOver)
            }
            if isOver { break }
            for alarm in due { alarm.ring() }
            let count = epoll_wait(epoll, &events, Int32(events.count), wait)
            for event in events.prefix(max(0, Int(count))) {
                if event.data.u64 == 0 {
                    var rings: UInt64 = 0
                    _ = read(bell, &rings, 8)
                } else {
                    call(event.data.u64)
                }
            }
        }
        lock.withLock {
            close(epoll)
            _ = close(bell)
        }
    }
}
