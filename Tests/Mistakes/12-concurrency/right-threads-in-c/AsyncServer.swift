import Course
import Dispatch
import Foundation
import Sockets

/// A connection whose descriptor is closed under the same lock under which others shut it down.
private actor Crowd {
    private var open: Set<Int32> = []
    private var isOver = false

    func add(_ fd: Int32) {
        open.insert(fd)
        if isOver { shutdown(fd, SHUT_RD) }
    }

    func remove(_ fd: Int32) {
        open.remove(fd)
        close(fd)
    }

    func stop() {
        isOver = true
        for fd in open { shutdown(fd, SHUT_RD) }
    }

    func cut() {
        for fd in open { shutdown(fd, SHUT_RDWR) }
    }
}

private func ready(_ fd: Int32, toWrite: Bool) async {
    await withCheckedContinuation { (k: CheckedContinuation<Void, Never>) in
        let source: any DispatchSourceProtocol =
            toWrite
            ? DispatchSource.makeWriteSource(fileDescriptor: fd) : DispatchSource.makeReadSource(fileDescriptor: fd)
        source.setEventHandler { source.cancel() }
        source.setCancelHandler { k.resume() }
        source.activate()
    }
}

private func serve(_ fd: Int32) async {
    while true {
        var bytes = [UInt8](repeating: 0, count: 8192)
        let n = recv(fd, &bytes, bytes.count, 0)
        if n == 0 { return }
        if n < 0 {
            switch errno {
            case EINTR: continue
            case EAGAIN:
                await ready(fd, toWrite: false)
                continue
            default: return
            }
        }
        var rest = bytes[..<n].map { (97...122).contains($0) ? $0 & 0xdf : $0 }[...]
        while !rest.isEmpty {
            let m = rest.withUnsafeBufferPointer { send(fd, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if m >= 0 {
                rest = rest.dropFirst(m)
            } else if errno == EAGAIN {
                await ready(fd, toWrite: true)
            } else if errno != EINTR {
                return
            }
        }
        await Task.yield()
    }
}

@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | Int32(SOCK_NONBLOCK.rawValue), 0))
    do {
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 4096))
    } catch {
        close(listener)
        throw error
    }
    try? await Task.sleep(nanoseconds: 1_000_000)

    let crowd = Crowd()
    let clients = Task {
        await withDiscardingTaskGroup { group in
            // shutdown ends the waiting of whoever waits for the listener, too
            while true {
                let fd = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue))
                if fd >= 0 {
                    await crowd.add(fd)
                    group.addTask {
                        await serve(fd)
                        await crowd.remove(fd)
                    }
                    continue
                }
                switch errno {
                case EINTR, ECONNABORTED: continue
                case EAGAIN: await ready(listener, toWrite: false)
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: try? await Task.sleep(nanoseconds: 50_000_000)
                default:
                    close(listener)
                    return
                }
            }
        }
    }
    // A sleep that only cancellation ends.
    while !Task.isCancelled { try? await Task.sleep(nanoseconds: 3_600_000_000_000) }
    shutdown(listener, SHUT_RDWR)
    await crowd.stop()
    let clock = Task {
        try await Task.sleep(nanoseconds: UInt64(grace) * 1_000_000)
        await crowd.cut()
    }
    await clients.value
    clock.cancel()
}
