import Course
@preconcurrency import Dispatch
import Foundation
import Sockets

/// A serial queue for each member, on which nothing ever waits: what does not go now, goes when a source says so.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let lock = NSLock()
    private var boxes: [Int32: Letterbox] = [:]

    func join(_ connection: Int32) {
        let box = Letterbox(connection)
        lock.withLock { boxes[connection] = box }
    }

    func leave(_ connection: Int32) {
        let box = lock.withLock { boxes.removeValue(forKey: connection) }
        box?.seal()
    }

    func broadcast(_ message: [UInt8]) {
        let all = lock.withLock { Array(boxes.values) }
        all.forEach { $0.post(message) }
    }
}

private final class Letterbox: @unchecked Sendable {
    private let connection: Int32
    private let queue = DispatchQueue(label: "member")

    private let lock = NSLock()
    /// Posted and not sent, in bytes.
    private var load = 0
    private var isSealed = false

    // These belong to the queue.
    private var unsent: [UInt8] = []
    private var source: (any DispatchSourceWrite)?
    private let sources = DispatchGroup()

    init(_ connection: Int32) { self.connection = connection }

    func post(_ message: [UInt8]) {
        let isTaken = lock.withLock {
            if isSealed { return false }
            load += message.count
            if load > 2_000_000 { throwOut() }
            return !isSealed
        }
        guard isTaken else { return }
        queue.async { [self] in
            unsent += message
            if source == nil { push() }
        }
    }

    /// Nobody here uses the connection when it returns: not the queue, not the kernel for a source.
    func seal() {
        lock.withLock { isSealed = true }
        queue.sync {
            unsent = []
            source?.cancel()
        }
        sources.wait()
    }

    /// Under the lock, and so never after `seal` has returned.
    private func throwOut() {
        if isSealed { return }
        isSealed = true
        shutdown(connection, SHUT_RDWR)
    }

    private func push() {
        var start = 0
        while start < unsent.count && !lock.withLock({ isSealed }) {
            let count = unsent[start...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            }
            if count >= 0 {
                start += count
                continue
            }
            if errno == EINTR { continue }
            if errno == EAGAIN {
                awaitRoom()
                break
            }
            lock.withLock { throwOut() }
        }
        unsent.removeFirst(start)
        lock.withLock { load -= start }
    }

    private func awaitRoom() {
        sources.enter()
        let waiting = DispatchSource.makeWriteSource(fileDescriptor: connection, queue: queue)
        source = waiting
        waiting.setEventHandler { waiting.cancel() }
        waiting.setCancelHandler { [self] in
            source = nil
            push()
            sources.leave()
        }
        waiting.resume()
    }
}
