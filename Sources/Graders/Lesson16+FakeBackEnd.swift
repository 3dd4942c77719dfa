// Lesson 16: back ends that the grader plays behind a proxy. They note what reaches them, and behave as badly as a check
// wants.
import Course
import Foundation
import GraderKit
import Sockets

/// A request as the proxy has sent it.
struct ProxiedRequest: Sendable {
    var method = ""
    var target = ""
    /// `HTTP/1.1`
    var version = ""
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// Which of the proxy's connections it came on, from 1.
    var connection = 0

    subscript(_ name: String) -> String? {
        let values = fields.filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
        return values.isEmpty ? nil : values.joined(separator: ", ")
    }
}

final class FakeBackEnd: @unchecked Sendable {
    enum Manner {
        /// 200, with its name.
        case answers
        /// 503: ask somebody else.
        case unavailable
        /// Takes a whole request and resets the connection: perhaps it has done what it was asked, perhaps not.
        case breaks
        /// Its queue is full, and it accepts nobody: a machine that does not answer at all.
        case silent
        /// A WebSocket that sends back the very bytes that it gets, and pings when nothing was to be said for so long (ms).
        case mirrors(pingEvery: Int?)
    }

    let name: String
    let port: UInt16
    private let manner: Manner
    private let listener: Int32
    private let changed = NSCondition()
    // Under `changed`:
    private var received: [ProxiedRequest] = []
    private var open: Set<Int32> = []
    private var threads = 0
    private var isStopped = false
    private var connectionCount = 0
    private var filling: [Int32] = []
    private var longest: UInt64 = 0

    init(_ name: String, _ manner: Manner = .answers) throws {
        self.name = name
        self.manner = manner
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        let listener = try closeOnExecSocket(any.family, SOCK_STREAM)
        self.listener = listener
        var isSilent = false
        if case .silent = manner { isSilent = true }
        do {
            try check("bind", any.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, isSilent ? 0 : 511))
            port = try SocketAddress.local(of: listener).port
        } catch {
            close(listener)
            throw error
        }
        do {
            if isSilent {
                try fillQueue(of: try SocketAddress(host: "127.0.0.1", port: port))
            } else {
                try run { [self] in accept() }
            }
        } catch {
            kill()
            throw error
        }
    }

    /// Connections until the kernel takes no more of them: whoever comes now waits for an answer to its SYN.
    private func fillQueue(of address: SocketAddress) throws {
        for _ in 0..<64 {
            let descriptor = try closeOnExecSocket(address.family, SOCK_STREAM)
            filling.append(descriptor)
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            if address.withSockaddr({ connect(descriptor, $0, $1) }) == 0 { continue }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            if poll(&waiting, 1, 200) == 0 { return }
        }
        throw Unavailable(say("this kernel's queues never fill up", "这个内核的等待队列填不满"))
    }

    var requests: [ProxiedRequest] { changed.withLock { received } }
    var connections: Int { changed.withLock { connectionCount } }
    /// The longest time between two pings that it was to send (ns): more than the interval on a machine that is busy.
    var longestSilence: UInt64 { changed.withLock { longest } }

    /// All of its connections are reset, and nobody can connect any more; comes back when its threads have ended.
    func kill() {
        changed.lock()
        guard !isStopped else { return changed.unlock() }
        isStopped = true
        shutdown(listener, SHUT_RDWR)
        for descriptor in open {
            var abort = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
            shutdown(descriptor, SHUT_RD)
        }
        while threads > 0 { changed.wait() }
        for descriptor in filling { close(descriptor) }
        close(listener)
        changed.unlock()
    }

    // MARK: Threads

    private func run(_ body: @escaping @Sendable () -> Void) throws {
        changed.withLock { threads += 1 }
        do {
            try startThread(stackSize: 1 << 18) { [self] in
                body()
                changed.withLock {
                    threads -= 1
                    changed.broadcast()
                }
            }
        } catch {
            changed.withLock { threads -= 1 }
            throw error
        }
    }

    private func accept() {
        while true {
            let connection = acceptCloseOnExec(listener)
            if connection < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                return
            }
            let number: Int? = changed.withLock {
                guard !isStopped else { return nil }
                open.insert(connection)
                connectionCount += 1
                return connectionCount
            }
            guard let number else {
                close(connection)
                return
            }
            do { try run { [self] in serve(connection, number) } } catch { end(connection) }
        }
    }

    private func end(_ connection: Int32) {
        changed.withLock {
            open.remove(connection)
            close(connection)
        }
    }

    // MARK: One connection

    private func serve(_ connection: Int32, _ number: Int) {
        defer { end(connection) }
        var bytes: [UInt8] = []
        while var request = nextRequest(connection, &bytes) {
            request.connection = number
            let isOver: Bool = changed.withLock {
                received.append(request)
                changed.broadcast()
                return isStopped
            }
            // Killed in the middle of it.
            if isOver { return }
            switch manner {
            case .answers, .silent: guard answer(connection, "200 OK", request) else { return }
            case .unavailable: guard answer(connection, "503 Service Unavailable", request) else { return }
            case .breaks:
                var abort = linger(l_onoff: 1, l_linger: 0)
                setsockopt(connection, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
                return
            case .mirrors(let interval):
                let connectionField = (request["Connection"] ?? "").lowercased()
                guard (request["Upgrade"] ?? "").lowercased() == "websocket", connectionField.contains("upgrade") else {
                    _ = answer(connection, "426 Upgrade Required", request)
                    return
                }
                let key = request["Sec-WebSocket-Key"] ?? ""
                let head =
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Accept: \(acceptFor(key))\r\n\r\n"
                guard sendAll(connection, Array(head.utf8) + bytes) else { return }
                return mirror(connection, pingEvery: interval)
            }
        }
    }

    /// - Returns: whether the connection goes on.
    private func answer(_ connection: Int32, _ status: String, _ request: ProxiedRequest) -> Bool {
        let closes = request.version == "HTTP/1.0" || (request["Connection"] ?? "").lowercased().contains("close")
        let text =
            "HTTP/1.1 \(status)\r\nContent-Length: \(name.utf8.count + 1)\r\n"
            + (closes ? "Connection: close\r\n" : "") + "\r\n\(name)\n"
        return sendAll(connection, Array(text.utf8)) && !closes
    }

    private func mirror(_ connection: Int32, pingEvery interval: Int?) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var last = now()
        while true {
            var waiting = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
            let ready = poll(&waiting, 1, Int32(interval ?? -1))
            if ready < 0 && errno == EINTR { continue }
            let time = now()
            if interval != nil {
                changed.withLock { longest = max(longest, time - last) }
                last = time
            }
            if ready == 0 {
                guard sendAll(connection, [0x89, 0]) else { return }
                continue
            }
            let count = recv(connection, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0, sendAll(connection, Array(buffer[..<count])) else { return }
        }
    }

    private func sendAll(_ connection: Int32, _ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno == EINTR { continue }
            if count < 0 { return false }
            sent += count
        }
        return true
    }

    /// - Parameter bytes: what was received and not looked at yet.
    private func nextRequest(_ connection: Int32, _ bytes: inout [UInt8]) -> ProxiedRequest? {
        func more() -> Bool {
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(connection, &buffer, buffer.count, 0)
                if count < 0 && errno == EINTR { continue }
                if count > 0 { bytes += buffer[..<count] }
                return count > 0
            }
        }
        var end = 0
        while true {
            let found = bytes.indices.dropFirst(3).first { bytes[$0 - 3...$0].elementsEqual([13, 10, 13, 10]) }
            if let found {
                end = found + 1
                break
            }
            guard bytes.count < 1 << 16, more() else { return nil }
        }
        let lines = String(decoding: bytes[..<(end - 4)], as: UTF8.self).components(separatedBy: "\r\n")
        let words = lines[0].components(separatedBy: " ")
        guard words.count == 3 else { return nil }
        var request = ProxiedRequest(method: words[0], target: words[1], version: words[2])
        request.fields = lines.dropFirst().compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (String(line[..<colon]), trimmed(line[line.index(after: colon)...]))
        }
        let length = request["Content-Length"].flatMap { Int($0) } ?? 0
        while bytes.count < end + length { guard more() else { return nil } }
        request.body = Array(bytes[end..<end + length])
        bytes.removeFirst(end + length)
        return request
    }
}
