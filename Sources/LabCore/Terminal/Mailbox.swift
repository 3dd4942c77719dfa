// Messages from other threads, and news of the terminal's size, for a loop that waits in poll(2).
import Course
import Foundation
import Sockets

public final class Mailbox<Message: Sendable>: @unchecked Sendable {
    /// Readable when there is something to take.
    public let descriptor: Int32
    private let writer: Int32
    private let lock = NSLock()
    private var messages: [Message] = []

    public init() throws(CommandError) {
        let pipe = try Pipe.make()
        (descriptor, writer) = (pipe.reader, pipe.writer)
        for end in [descriptor, writer] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }
    }

    deinit {
        close(descriptor)
        close(writer)
    }

    public func put(_ message: Message) {
        lock.withLock { messages.append(message) }
        // A full pipe is readable already.
        var byte: UInt8 = 0
        _ = write(writer, &byte, 1)
    }

    /// All that has come; does not wait.
    public func take() -> [Message] {
        var buffer = [UInt8](repeating: 0, count: 512)
        while read(descriptor, &buffer, buffer.count) > 0 {}
        return lock.withLock {
            defer { messages = [] }
            return messages
        }
    }

    /// From now on a change of the terminal's size makes `descriptor` readable (SIGWINCH).
    public func listenForResizes() {
        resizePipe = writer
        signal(SIGWINCH) { _ in
            let saved = errno
            var byte: UInt8 = 0
            _ = write(resizePipe, &byte, 1)
            errno = saved
        }
    }
}

/// Where the handler writes; set before the handler is.
nonisolated(unsafe) private var resizePipe: Int32 = -1
