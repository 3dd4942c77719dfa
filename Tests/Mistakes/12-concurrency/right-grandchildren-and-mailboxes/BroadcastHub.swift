import Course
import Foundation
import Sockets

/// Each member is an actor of the old kind: a thread with a mailbox, which alone writes to the connection.
final class BroadcastHub: MessageHub, @unchecked Sendable {
    private let registry = Locked<[Int32: Writer]>([:])

    func join(_ connection: Int32) {
        let writer = Writer(connection)
        registry.update { $0[connection] = writer }
        writer.start()
    }

    func leave(_ connection: Int32) {
        registry.update { $0.removeValue(forKey: connection) }?.end()
    }

    func broadcast(_ message: [UInt8]) {
        registry.update { Array($0.values) }.forEach { $0.tell(message) }
    }
}

private final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value
    init(_ value: Value) { self.value = value }

    func update<Result>(_ body: (inout Value) -> Result) -> Result {
        lock.lock()
        defer { lock.unlock() }
        return body(&value)
    }
}

private final class Writer: @unchecked Sendable {
    private struct Mailbox {
        var letters: [[UInt8]] = []
        var bytes = 0
        var isClosed = false
    }

    private let connection: Int32
    private let mailbox = Locked(Mailbox())
    /// One for each time that there is something new in the mailbox.
    private let news = DispatchSemaphore(value: 0)
    private let hasEnded = DispatchSemaphore(value: 0)

    init(_ connection: Int32) { self.connection = connection }

    func start() {
        Thread.detachNewThread { [self] in
            while let letters = receive() {
                if !letters.allSatisfy({ sendAll(connection, $0) }) { close() }
            }
            hasEnded.signal()
        }
    }

    func tell(_ letter: [UInt8]) {
        let isTooMuch = mailbox.update { mailbox in
            guard !mailbox.isClosed else { return false }
            mailbox.letters.append(letter)
            mailbox.bytes += letter.count
            return mailbox.bytes > 3 << 20
        }
        if isTooMuch { close() } else { news.signal() }
    }

    /// When it returns, the thread is at its end.
    func end() {
        close()
        hasEnded.wait()
    }

    /// nil: closed.
    private func receive() -> [[UInt8]]? {
        while true {
            news.wait()
            let (letters, isClosed) = mailbox.update { mailbox in
                defer { (mailbox.letters, mailbox.bytes) = ([], 0) }
                return (mailbox.letters, mailbox.isClosed)
            }
            if isClosed { return nil }
            if !letters.isEmpty { return letters }
        }
    }

    /// Once. Under the mailbox's lock: whoever has seen it closed, has seen it shut down; and `end` does not return, so that
    /// nobody closes the number, while somebody is still about to shut it down.
    private func close() {
        mailbox.update { mailbox in
            if mailbox.isClosed { return }
            mailbox.isClosed = true
            mailbox.letters = []
            shutdown(connection, SHUT_RDWR)
        }
        news.signal()
    }
}
