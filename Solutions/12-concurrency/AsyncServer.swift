import Course
@preconcurrency import Dispatch
import Sockets
import Synchronization

/// A task for each client. There are only as many threads as processors, and none of them may wait: a task that has nothing
/// to do is put aside (`await`), and its thread runs another one.
func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    makeNonBlocking(listener)
    // The first timer needs a descriptor of libdispatch's own. Taken now: with a full table it would end the program.
    await pause(0)
    // The group ends when all its tasks have ended, whichever way we leave. Cancelling us cancels each of them.
    try await withThrowingDiscardingTaskGroup { group in
        // At the end of this body, and so before the clients that are still served are waited for.
        defer { close(listener) }
        while !Task.isCancelled {
            let descriptor = accept(listener, nil, nil)
            if descriptor >= 0 {
                makeNonBlocking(descriptor)
                let connection = Connection(descriptor)
                group.addTask { await serve(connection, grace: grace) }
                continue
            }
            switch errno {
            case EAGAIN: await untilReady(listener, to: .receive)
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: await pause(50)  // no room now: clients leave, in time
            default: throw SocketError("accept", errno)
            }
        }
    }
}

/// One client to its end. The next bytes are received when the last answer is sent, and not before (back-pressure).
private func serve(_ connection: Connection, grace: Milliseconds) async {
    let descriptor = connection.descriptor
    await withTaskCancellationHandler {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN {
                await untilReady(descriptor, to: .receive)
                continue
            }
            guard count > 0, await sendAll(descriptor, buffer[..<count].map(uppercase)) else { break }
            // A client that always has more to say would keep this thread for itself.
            await Task.yield()
        }
    } onCancel: {
        // recv gives what has arrived, and then 0: the task ends as it always does, with its last answer sent.
        connection.shutDown(SHUT_RD)
        // Who does not take that answer is not waited for longer.
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(grace)) { connection.shutDown(SHUT_RDWR) }
    }
    connection.close()
}

private func sendAll(_ descriptor: Int32, _ bytes: [UInt8]) async -> Bool {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count > 0 {
            sent += count
        } else if errno == EAGAIN {
            // Not given up when we are cancelled: what was begun is finished.
            await untilReady(descriptor, to: .send, isCancellable: false)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}

private enum Direction { case receive, send }

/// Waits without a thread: libdispatch asks the kernel, and goes on with the task when the descriptor is ready. Comes back at
/// once when the task is cancelled, unless it is not to.
///
/// The descriptor must stay open meanwhile. It does: the cancel handler is the last that the source does, and only then
/// does the task go on, which is the one that closes it.
private func untilReady(_ descriptor: Int32, to direction: Direction, isCancellable: Bool = true) async {
    let source: any DispatchSourceProtocol =
        switch direction {
        case .receive: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
        case .send: DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: .global())
        }
    nonisolated(unsafe) let waiting = source
    await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            // Readiness and cancellation may come at once; a cancelled source says so once.
            waiting.setEventHandler { waiting.cancel() }
            waiting.setCancelHandler { continuation.resume() }
            waiting.activate()
        }
    } onCancel: {
        if isCancellable { waiting.cancel() }
    }
}

private func pause(_ time: Milliseconds) async {
    await withCheckedContinuation { continuation in
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(time)) { continuation.resume() }
    }
}

/// A descriptor that one task owns, and others may shut down: never after it was closed, when its number is a stranger's.
private final class Connection: Sendable {
    let descriptor: Int32
    private let isOpen = Mutex(true)

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    func shutDown(_ how: Int32) {
        isOpen.withLock { if $0 { shutdown(descriptor, how) } }
    }

    func close() {
        isOpen.withLock {
            Sockets.close(descriptor)
            $0 = false
        }
    }
}

private func makeNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}
