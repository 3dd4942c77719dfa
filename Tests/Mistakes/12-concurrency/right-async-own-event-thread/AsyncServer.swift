import Course
import Foundation
import Sockets

// One thread of its own waits in poll for all descriptors, and resumes who waited for them.
func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    let events = try EventThread()
    defer { events.end() }
    setNonBlocking(listener)
    let deadline = Deadline()
    await withTaskCancellationHandler {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let connection = accept(listener, nil, nil)
                if connection >= 0 {
                    setNonBlocking(connection)
                    group.addTask {
                        await talk(connection, events, deadline)
                        close(connection)
                    }
                } else if errno == EAGAIN {
                    await events.wait(listener, POLLIN)
                } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
                    await events.wait(-1, 0, milliseconds: 50)
                }
            }
            close(listener)
        }
    } onCancel: {
        deadline.set(in: grace)
        events.wakeAll()
    }
}

private func talk(_ connection: Int32, _ events: EventThread, _ deadline: Deadline) async {
    var buffer = [UInt8](repeating: 0, count: 8192)
    while true {
        let count = recv(connection, &buffer, buffer.count, 0)
        if count == 0 { return }
        if count < 0 {
            if errno == EINTR { continue }
            if errno != EAGAIN || Task.isCancelled { return }
            await events.wait(connection, POLLIN)
            continue
        }
        var rest = buffer[..<count].map(uppercase)[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if sent > 0 {
                rest = rest.dropFirst(sent)
            } else if errno == EAGAIN {
                if deadline.hasPassed { return }
                await events.wait(connection, POLLOUT, milliseconds: 200)
            } else if errno != EINTR {
                return
            }
        }
        await Task.yield()
    }
}

private func setNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

private final class Deadline: @unchecked Sendable {
    private let lock = NSLock()
    private var time: Date?
    func set(in grace: Milliseconds) { lock.withLock { time = Date(timeIntervalSinceNow: Double(grace) / 1000) } }
    var hasPassed: Bool { lock.withLock { time.map { $0 < Date() } ?? false } }
}

private final class EventThread: @unchecked Sendable {
    private struct Waiter {
        var entry: pollfd
        var until: Date?
        var continuation: CheckedContinuation<Void, Never>
    }
    private let lock = NSLock()
    private var waiters: [Waiter] = []
    private var isEnding = false
    private var isStopping = false
    private var wakeReceiver: Int32 = -1
    private var wakeSender: Int32 = -1

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &ends))
        (wakeReceiver, wakeSender) = (ends[0], ends[1])
        setNonBlocking(wakeReceiver)
        setNonBlocking(wakeSender)
        Thread.detachNewThread { self.run() }
    }

    func wait(_ descriptor: Int32, _ event: Int32, milliseconds: Int? = nil) async {
        await withCheckedContinuation { continuation in
            let until = milliseconds.map { Date(timeIntervalSinceNow: Double($0) / 1000) }
            let entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
            let isOver = lock.withLock {
                if isStopping && event == POLLIN { return true }
                waiters.append(Waiter(entry: entry, until: until, continuation: continuation))
                return false
            }
            if isOver { continuation.resume() } else { wake() }
        }
    }

    func wakeAll() {
        let all = lock.withLock {
            isStopping = true
            defer { waiters = [] }
            return waiters
        }
        for waiter in all { waiter.continuation.resume() }
        wake()
    }

    func end() {
        lock.withLock { isEnding = true }
        wake()
    }

    private func wake() { _ = write(wakeSender, [1], 1) }

    private func run() {
        var drain = [UInt8](repeating: 0, count: 4096)
        while !lock.withLock({ isEnding }) {
            let current = lock.withLock { waiters }
            var entries = [pollfd(fd: wakeReceiver, events: Int16(POLLIN), revents: 0)] + current.map(\.entry)
            let next = current.compactMap(\.until).min().map { max(0, Int32($0.timeIntervalSinceNow * 1000) + 1) }
            poll(&entries, nfds_t(entries.count), next ?? -1)
            while read(wakeReceiver, &drain, drain.count) > 0 {}
            let ready = Set(entries.dropFirst().filter { $0.revents != 0 }.map(\.fd))
            let due: [Waiter] = lock.withLock {
                let due = waiters.filter { ready.contains($0.entry.fd) || ($0.until.map { $0 <= Date() } ?? false) }
                waiters.removeAll { ready.contains($0.entry.fd) || ($0.until.map { $0 <= Date() } ?? false) }
                return due
            }
            for waiter in due { waiter.continuation.resume() }
        }
        close(wakeReceiver)
        close(wakeSender)
    }
}
