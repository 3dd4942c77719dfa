import Course
import Sockets

/// The longest message that the server takes: 1 MiB.
let largestMessage = 1 << 20

/// One thread for all, around poll(2). No call on a client waits (MSG_DONTWAIT): what it does not take now is kept, and
/// who takes nothing is not read from until it does.
func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    // A client that was announced may be gone again: accept must not wait for the next one.
    try check("fcntl", fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK))
    var clients: [Int32: Client] = [:]
    var acceptsNone = false
    while true {
        var asked = clients.values.map { pollfd(fd: $0.socket, events: $0.interest, revents: 0) }
        asked.append(pollfd(fd: listener, events: acceptsNone ? 0 : Int16(POLLIN), revents: 0))
        // Without room for one more client, try again a little later; else wait for as long as nothing happens.
        let count = poll(&asked, nfds_t(asked.count), acceptsNone ? 50 : -1)
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        acceptsNone = false
        for answer in asked.dropLast() where answer.revents != 0 {
            guard let client = clients[answer.fd] else { continue }
            if !client.goOn() {
                clients[answer.fd] = nil
                close(answer.fd)
            }
        }
        if asked[asked.count - 1].revents != 0 {
            acceptsNone = try !acceptAll(listener) { clients[$0] = Client($0) }
        }
    }
}

/// - Returns: false if there was no descriptor or no memory for one more.
private func acceptAll(_ listener: Int32, _ take: (Int32) -> Void) throws -> Bool {
    while true {
        let socket = accept(listener, nil, nil)
        if socket >= 0 {
            take(socket)
            continue
        }
        switch errno {
        case EAGAIN: return true
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return false
        default: throw SocketError("accept", errno)
        }
    }
}

private final class Client {
    let socket: Int32
    private var decoder = FrameDecoder(limit: largestMessage)
    /// Answers that the kernel has not taken; those before `sent` it has.
    private var answers: [UInt8] = []
    private var sent = 0
    /// The stream has ended, or a frame was too long: what is there goes out, and then it is over.
    private var isLast = false

    init(_ socket: Int32) { self.socket = socket }

    var interest: Int16 { sent < answers.count ? Int16(POLLOUT) : Int16(POLLIN) }

    /// - Returns: false if it is over.
    func goOn() -> Bool {
        if sent == answers.count, !isLast, !receive() { return false }
        guard send() else { return false }
        return !(isLast && sent == answers.count)
    }

    private func receive() -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(socket, &bytes, bytes.count, MSG_DONTWAIT)
        if count < 0 { return errno == EINTR || errno == EAGAIN }
        guard count > 0 else {
            isLast = true
            return true
        }
        bytes.removeLast(bytes.count - count)
        decoder.feed(bytes)
        do {
            while let message = try decoder.next() { answers += encodeFrame(message: message) }
        } catch {
            isLast = true
        }
        return true
    }

    private func send() -> Bool {
        while sent < answers.count {
            let count = answers.withUnsafeBytes {
                Sockets.send(socket, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                return true
            } else if errno != EINTR {
                return false
            }
        }
        answers = []
        sent = 0
        return true
    }
}
