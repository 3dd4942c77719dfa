import Course
import Foundation
import Sockets

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    // accept is called until there is nobody left: so it must not wait.
    _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
    let state = PoolState(limits)
    (1...limits.threads).forEach { _ in Thread.detachNewThread(state.worker) }
    Thread.detachNewThread {
        _ = firstReady([stop])
        state.stop()
    }

    let outcome = Result {
        // Room first, and only then accept.
        while state.waitsForRoom(), firstReady([stop, listener]) == listener {
            while let client = try acceptIfAny(listener) { state.enqueue(client) }
        }
    }
    close(listener)
    state.stop()
    state.join()
    try outcome.get()
}

/// nil: nobody is there.
private func acceptIfAny(_ listener: Int32) throws -> Int32? {
    while true {
        let client = accept(listener, nil, nil)
        if client >= 0 { return client }
        switch errno {
        case EAGAIN: return nil
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            poll(nil, 0, 50)
            return nil
        case let code: throw SocketError("accept", code)
        }
    }
}

private func firstReady(_ descriptors: [Int32]) -> Int32 {
    var list = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while true {
        let count = poll(&list, nfds_t(list.count), -1)
        if count > 0, let ready = list.first(where: { $0.revents != 0 }) { return ready.fd }
    }
}

private final class PoolState: @unchecked Sendable {
    private let limits: PoolLimits
    private let news = NSCondition()
    private var line: [Int32] = []
    private var alive: [Int32: Bool] = [:]
    private var workers: Int
    private var stopping = false

    init(_ limits: PoolLimits) {
        self.limits = limits
        workers = limits.threads
    }

    func waitsForRoom() -> Bool {
        news.lock()
        defer { news.unlock() }
        while !stopping && line.count >= limits.queue { news.wait() }
        return !stopping
    }

    func enqueue(_ client: Int32) {
        change {
            line.append(client)
            alive[client] = true
            if stopping { shutdown(client, SHUT_RD) }
        }
    }

    func worker() {
        while let client = dequeue() {
            serve(client)
            change {
                alive[client] = nil
                close(client)
            }
        }
        change { workers -= 1 }
    }

    private func dequeue() -> Int32? {
        news.lock()
        defer { news.unlock() }
        while line.isEmpty {
            if stopping { return nil }
            news.wait()
        }
        news.broadcast()
        return line.removeFirst()
    }

    func stop() {
        change {
            if !stopping { alive.keys.forEach { shutdown($0, SHUT_RD) } }
            stopping = true
        }
    }

    func join() {
        let deadline = Date().addingTimeInterval(Double(limits.grace) / 1000)
        news.lock()
        while workers > 0, news.wait(until: deadline) {}
        alive.keys.forEach { shutdown($0, SHUT_RDWR) }
        while workers > 0 { news.wait() }
        news.unlock()
    }

    private func change(_ body: () -> Void) {
        news.lock()
        body()
        news.broadcast()
        news.unlock()
    }
}
