import Course
@preconcurrency import Dispatch
import Sockets
import Synchronization

@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let listener = try makeListener(host: host, port: port)
    becomeNonBlocking(listener)
    // libdispatch's first timer, while there are descriptors.
    try? await Task.sleep(for: .milliseconds(1))
    let clients = Clients()
    try await withThrowingDiscardingTaskGroup { group in
        var isListening = true
        defer { if isListening { close(listener) } }
        while !Task.isCancelled {
            let number = accept(listener, nil, nil)
            guard number < 0 else {
                becomeNonBlocking(number)
                clients.add(number)
                group.addTask {
                    await converse(number)
                    clients.close(number)
                }
                continue
            }
            switch errno {
            case EAGAIN: await readable(listener, unlessCancelled: true)
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: try? await Task.sleep(for: .milliseconds(50))
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
            case let code:
                clients.shutDownAll(SHUT_RD)
                throw SocketError("accept", code)
            }
        }
        // Nobody new; nothing more from anybody; and after the time of grace an end for all who are still there.
        close(listener)
        isListening = false
        clients.shutDownAll(SHUT_RD)
        if !clients.isEmpty {
            try? await Task.sleep(for: .milliseconds(grace))
            clients.shutDownAll(SHUT_RDWR)
        }
    }
}

private func converse(_ client: Int32) async {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    conversation: while true {
        let count = recv(client, &buffer, buffer.count, 0)
        switch (count, errno) {
        case (1..., _):
            guard await answer(client, buffer[..<count].map(uppercase)) else { break conversation }
            await Task.yield()
        case (-1, EAGAIN): await readable(client, unlessCancelled: false)
        case (-1, EINTR): continue
        default: break conversation
        }
    }
}

private func answer(_ client: Int32, _ bytes: [UInt8]) async -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count >= 0 {
            rest = rest.dropFirst(count)
        } else if errno == EAGAIN {
            await wait(
                for: DispatchSource.makeWriteSource(fileDescriptor: client, queue: .global()), unlessCancelled: false)
        } else if errno != EINTR {
            return false
        }
    }
    return true
}

private func readable(_ descriptor: Int32, unlessCancelled: Bool) async {
    await wait(
        for: DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: .global()),
        unlessCancelled: unlessCancelled)
}

private func wait(for source: any DispatchSourceProtocol, unlessCancelled: Bool) async {
    nonisolated(unsafe) let source = source
    await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
            source.setEventHandler { source.cancel() }
            source.setCancelHandler { continuation.resume() }
            source.activate()
        }
    } onCancel: {
        if unlessCancelled { source.cancel() }
    }
}

private func becomeNonBlocking(_ descriptor: Int32) {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

/// Those who are connected: closed and shut down under one lock, so that no number is used after its end.
private final class Clients: Sendable {
    private let open = Mutex<Set<Int32>>([])

    var isEmpty: Bool { open.withLock { $0.isEmpty } }
    func add(_ client: Int32) { open.withLock { _ = $0.insert(client) } }
    func shutDownAll(_ how: Int32) { open.withLock { $0.forEach { _ = shutdown($0, how) } } }

    func close(_ client: Int32) {
        open.withLock {
            $0.remove(client)
            _ = Sockets.close(client)
        }
    }
}
