import Course
@preconcurrency import Dispatch
import Foundation
import Sockets

@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    goOn(listener)
    try? await Task.sleep(for: .milliseconds(1))  // the timer's own descriptor

    try await withThrowingDiscardingTaskGroup(returning: Void.self) { clients in
        defer { close(listener) }
        acceptance: while !Task.isCancelled {
            let descriptor = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            guard descriptor < 0 else {
                let line = Line(descriptor)
                clients.addTask { await talk(line, grace) }
                continue acceptance
            }
            switch errno {
            case EAGAIN:
                await wait(reading: listener)
            case EMFILE, ENFILE, ENOMEM, ENOBUFS:
                try? await Task.sleep(for: .milliseconds(60))
            case EINTR, ECONNABORTED, EPROTO, ENETUNREACH, ENETDOWN, EHOSTUNREACH:
                continue acceptance
            case let other:
                throw SocketError("accept4", other)
            }
        }
    }
}

private func talk(_ line: Line, _ grace: Milliseconds) async {
    let fd = line.fd
    await withTaskCancellationHandler {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while !Task.isCancelled {
            let length = recv(fd, &buffer, buffer.count, 0)
            if length == 0 { break }
            if length < 0 {
                if errno == EINTR { continue }
                guard errno == EAGAIN else { break }
                await wait(reading: fd)
                continue
            }
            for index in 0..<length { buffer[index] = uppercase(buffer[index]) }
            guard await deliver(buffer, length, to: fd) else { break }
            await Task.yield()
        }
    } onCancel: {
        // Wakes who waits for the client; an answer that is under way goes on, until grace is over.
        line.shut(SHUT_RD)
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(grace)) { line.shut(SHUT_RDWR) }
    }
    line.hangUp()
}

private func deliver(_ buffer: [UInt8], _ length: Int, to fd: Int32) async -> Bool {
    var position = 0
    while position < length {
        let count = buffer.withUnsafeBytes { send(fd, $0.baseAddress! + position, length - position, MSG_NOSIGNAL) }
        if count >= 0 {
            position += count
        } else if errno == EAGAIN {
            await wait(writing: fd)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}

private func goOn(_ fd: Int32) {
    _ = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK)
}

private func wait(reading fd: Int32) async {
    let source = DispatchSource.makeReadSource(fileDescriptor: fd, queue: .global())
    nonisolated(unsafe) let signal = source
    await withTaskCancellationHandler {
        await once(signal)
    } onCancel: {
        signal.cancel()
    }
}

/// Not ended by a cancellation.
private func wait(writing fd: Int32) async {
    await once(DispatchSource.makeWriteSource(fileDescriptor: fd, queue: .global()))
}

private func once(_ source: some DispatchSourceProtocol) async {
    nonisolated(unsafe) let source = source
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        source.setCancelHandler { continuation.resume() }
        source.setEventHandler { source.cancel() }
        source.activate()
    }
}

/// A connection that is shut down only while it is open.
private final class Line: @unchecked Sendable {
    let fd: Int32
    private let lock = NSLock()
    private var isClosed = false

    init(_ fd: Int32) { self.fd = fd }

    func shut(_ how: Int32) {
        lock.lock()
        defer { lock.unlock() }
        if !isClosed { shutdown(fd, how) }
    }

    func hangUp() {
        lock.lock()
        defer { lock.unlock() }
        isClosed = true
        close(fd)
    }
}
