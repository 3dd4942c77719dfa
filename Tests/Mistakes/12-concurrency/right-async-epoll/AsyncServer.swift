import Course
import Dispatch
import Foundation
import Sockets
import Synchronization

/// A thread of its own waits in epoll_wait for all descriptors, and resumes the tasks.
@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    setNonBlocking(listener)
    let events: EventThread
    do { events = try EventThread() } catch {
        close(listener)
        throw error
    }
    defer { events.end() }
    // The descriptor that libdispatch needs for its timers: now, while there is one.
    try? await Task.sleep(for: .milliseconds(1))

    let crowd = Crowd()
    try await withTaskCancellationHandler {
        try await withThrowingDiscardingTaskGroup { group in
            defer { close(listener) }
            while !Task.isCancelled {
                let connection = accept(listener, nil, nil)
                if connection < 0 {
                    let reason = errno
                    switch reason {
                    case EAGAIN: await events.wait(for: listener, EventThread.readable, isCancellable: true)
                    case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
                    case EMFILE, ENFILE, ENOBUFS, ENOMEM: try? await Task.sleep(for: .milliseconds(50))
                    default: throw SocketError("accept", reason)
                    }
                    continue
                }
                setNonBlocking(connection)
                crowd.enter(connection)
                group.addTask {
                    await talk(connection, events)
                    crowd.leave(connection)
                }
            }
        }
    } onCancel: {
        crowd.stop(SHUT_RD)
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(grace)) { crowd.stop(SHUT_RDWR) }
    }
}

private func talk(_ connection: Int32, _ events: EventThread) async {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count == 0 { return }
        if count < 0 {
            if errno == EINTR { continue }
            guard errno == EAGAIN else { return }
            // The stop shuts the socket down, and that makes it readable: nothing to do for cancellation.
            await events.wait(for: connection, EventThread.readable, isCancellable: false)
            continue
        }
        for index in 0..<count { buffer[index] = uppercase(buffer[index]) }
        var sent = 0
        while sent < count {
            let result = buffer[sent..<count].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL)
            }
            if result >= 0 {
                sent += result
            } else if errno == EAGAIN {
                await events.wait(for: connection, EventThread.writable, isCancellable: false)
            } else if errno != EINTR {
                return
            }
        }
        await Task.yield()
    }
}

/// All open connections: closed, and shut down, only under the lock.
private final class Crowd: Sendable {
    private struct State {
        var open: Set<Int32> = []
        var isStopping = false
    }
    private let state = Mutex(State())

    func enter(_ connection: Int32) {
        state.withLock {
            $0.open.insert(connection)
            if $0.isStopping { _ = shutdown(connection, SHUT_RD) }
        }
    }

    func leave(_ connection: Int32) {
        state.withLock {
            $0.open.remove(connection)
            _ = close(connection)
        }
    }

    func stop(_ direction: Int32) {
        state.withLock {
            $0.isStopping = true
            for connection in $0.open { _ = shutdown(connection, direction) }
        }
    }
}

/// Waits have numbers that never come again, so an event that is late is nobody's, and not a stranger's.
private final class EventThread: Sendable {
    static let readable = UInt32(EPOLLIN.rawValue) | UInt32(EPOLLRDHUP.rawValue)
    static let writable = UInt32(EPOLLOUT.rawValue)

    private struct Waiter {
        let descriptor: Int32
        let continuation: CheckedContinuation<Void, Never>
    }
    private struct State {
        var waiters: [UInt64: Waiter] = [:]
        /// Cancelled before they began to wait.
        var cancelled: Set<UInt64> = []
        /// 0 is the pipe that ends the thread.
        var last: UInt64 = 0
    }
    private let state = Mutex(State())
    private let poller: Int32
    private let ending: Int32

    init() throws {
        poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else {
            let error = SocketError("pipe", errno)
            close(poller)
            throw error
        }
        ending = ends[1]
        var event = epoll_event()
        event.events = UInt32(EPOLLIN.rawValue)
        event.data.u64 = 0
        guard epoll_ctl(poller, EPOLL_CTL_ADD, ends[0], &event) == 0 else {
            let error = SocketError("epoll_ctl", errno)
            close(poller)
            close(ends[0])
            close(ends[1])
            throw error
        }
        let pipeEnd = ends[0]
        Thread.detachNewThread {
            self.run()
            close(self.poller)
            close(pipeEnd)
        }
    }

    /// Nobody may wait any more.
    func end() { close(ending) }

    func wait(for descriptor: Int32, _ interest: UInt32, isCancellable: Bool) async {
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = state.withLock { state in
                    if state.cancelled.contains(number) { return true }
                    var event = epoll_event()
                    event.events = interest | EPOLLONESHOT.rawValue
                    event.data.u64 = number
                    // It fails only if the kernel has no memory; then the task asks its descriptor again.
                    guard epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0 else { return true }
                    state.waiters[number] = Waiter(descriptor: descriptor, continuation: continuation)
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            guard isCancellable else { return }
            if !resume(number) { state.withLock { _ = $0.cancelled.insert(number) } }
        }
        state.withLock { _ = $0.cancelled.remove(number) }
    }

    /// - Returns: false if nobody waits under this number.
    @discardableResult
    private func resume(_ number: UInt64) -> Bool {
        let waiter = state.withLock { state -> Waiter? in
            guard let waiter = state.waiters.removeValue(forKey: number) else { return nil }
            _ = epoll_ctl(poller, EPOLL_CTL_DEL, waiter.descriptor, nil)
            return waiter
        }
        waiter?.continuation.resume()
        return waiter != nil
    }

    private func run() {
        var events = [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            let count = epoll_wait(poller, &events, Int32(events.count), -1)
            if count < 0 {
                if errno == EINTR { continue }
                return
            }
            for event in events[..<Int(count)] {
                let number = event.data.u64
                if number == 0 { return }
                resume(number)
            }
        }
    }
}

private func setNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}
