import Course
import Sockets

let largestMessage = 1 << 20

/// One thread for all, edge-triggered: nobody is waited for but in epoll_wait.
func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let flags = try check("fcntl", fcntl(listener, F_GETFL))
    try check("fcntl", fcntl(listener, F_SETFL, flags | O_NONBLOCK))
    let poller = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(poller) }
    // The listener level-triggered: what is not accepted now is told again.
    try watch(listener, EPOLLIN.rawValue, in: poller)

    var clients: [Int32: Client] = [:]
    /// Those that had used up their turn: there may be more to do for them, and no new edge will say so.
    var unfinished: Set<Int32> = []
    var events = [epoll_event](repeating: epoll_event(), count: 128)
    while true {
        let count = epoll_wait(poller, &events, Int32(events.count), unfinished.isEmpty ? -1 : 0)
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("epoll_wait", errno)
        }
        var due = unfinished
        unfinished = []
        var someoneKnocks = false
        for event in events[..<Int(count)] {
            if event.data.fd == listener { someoneKnocks = true } else { due.insert(event.data.fd) }
        }
        for descriptor in due {
            guard let client = clients[descriptor] else { continue }
            switch client.turn() {
            case .waits: break
            case .wantsMore: unfinished.insert(descriptor)
            case .finished:
                clients[descriptor] = nil
                close(descriptor)  // epoll forgets it, too
            }
        }
        guard someoneKnocks else { continue }
        accepting: while true {
            let descriptor = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            if descriptor >= 0 {
                do {
                    try watch(
                        descriptor, EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue,
                        in: poller)
                    clients[descriptor] = Client(descriptor)
                } catch {
                    close(descriptor)
                }
                continue
            }
            switch errno {
            case EAGAIN: break accepting
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EPERM: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                // No room for another one; a moment's rest, or level-triggered means a spin.
                poll(nil, 0, 20)
                break accepting
            default: throw SocketError("accept4", errno)
            }
        }
    }
}

private func watch(_ descriptor: Int32, _ mask: UInt32, in poller: Int32) throws {
    var event = epoll_event(events: mask, data: epoll_data_t(fd: descriptor))
    try check("epoll_ctl", epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event))
}

private final class Client {
    enum Outcome { case waits, wantsMore, finished }

    private let descriptor: Int32
    private let decoder = FrameDecoder(limit: largestMessage)
    private var answer: [UInt8] = []
    private var sent = 0
    private var hasEnded = false
    private var chunk = [UInt8](repeating: 0, count: 32_768)

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Goes on until the socket would block, in either direction, or until others must have their turn. It does not receive
    /// while an answer waits: a client that does not read is not read from.
    func turn() -> Outcome {
        for _ in 0..<256 {
            if sent < answer.count {
                let count = answer.withUnsafeBytes {
                    send(descriptor, $0.baseAddress! + sent, $0.count - sent, Int32(MSG_NOSIGNAL))
                }
                if count >= 0 { sent += count; continue }
                if errno == EINTR { continue }
                return errno == EAGAIN ? .waits : .finished
            }
            (answer, sent) = ([], 0)
            do {
                if let message = try decoder.next() {
                    answer = encodeFrame(message: message)
                    continue
                }
            } catch {
                return .finished
            }
            if hasEnded { return .finished }
            let count = recv(descriptor, &chunk, chunk.count, Int32(0))
            if count > 0 {
                decoder.feed(Array(chunk[..<count]))
            } else if count == 0 {
                hasEnded = true
            } else if errno != EINTR {
                return errno == EAGAIN ? .waits : .finished
            }
        }
        return .wantsMore
    }
}
