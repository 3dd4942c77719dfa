import Course
@preconcurrency import Dispatch
import Sockets
import Synchronization

func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    makeNonBlocking(listener)
    await pause(0)
    try await withThrowingDiscardingTaskGroup { group in
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
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EMFILE, ENFILE, ENOBUFS, ENOMEM:
                continue
            default: throw SocketError("accept", errno)
            }
        }
    }
}

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
            await Task.yield()
        }
    } onCancel: {
        connection.shutDown(SHUT_RD)
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
            await untilReady(descriptor, to: .send, isCancellable: false)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}

private enum Direction { case receive, send }

private func untilReady(_ descriptor: Int32, to direction: Direction, isCancellable: Bool = true) async {
    let source: any DispatchSourceProtocol =
        switch direction {
        case .receive: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global())
        case .send: DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: .global())
        }
    nonisolated(unsafe) let waiting = source
    await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
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
