import Course
import Sockets

let roomForDatagram = 65_535

func uppercaseServer(host: String, port: UInt16) throws {
    let reactor = try Reactor(boundTo: try SocketAddress(host: host, port: port))
    defer { reactor.shut() }
    try reactor.serve { datagram in datagram.map(capital) }
}

private func capital(_ byte: UInt8) -> UInt8 { byte >= 97 && byte <= 122 ? byte - 32 : byte }

/// One non-blocking socket and one epoll: the kernel says when something has come.
private final class Reactor {
    private let socketDescriptor: Int32
    private let epollDescriptor: Int32
    private var storage = [UInt8](repeating: 0, count: roomForDatagram)

    init(boundTo address: SocketAddress) throws {
        let descriptor = try check("socket", socket(address.family, SOCK_DGRAM, 0))
        var watcher: Int32 = -1
        do {
            try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
            try check("fcntl", fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK))
            watcher = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
            var event = epoll_event(
                events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: descriptor))
            try check("epoll_ctl", epoll_ctl(watcher, EPOLL_CTL_ADD, descriptor, &event))
        } catch {
            if watcher >= 0 { close(watcher) }
            close(descriptor)
            throw error
        }
        socketDescriptor = descriptor
        epollDescriptor = watcher
    }

    func shut() {
        close(epollDescriptor)
        close(socketDescriptor)
    }

    func serve(_ answer: (ArraySlice<UInt8>) -> [UInt8]) throws {
        var events = [epoll_event](repeating: epoll_event(), count: 4)
        while true {
            let ready = epoll_wait(epollDescriptor, &events, Int32(events.count), -1)
            if ready < 0 {
                guard errno == EINTR else { throw SocketError("epoll_wait", errno) }
                continue
            }
            for _ in 0..<Int(ready) { try onReadable(answer) }
        }
    }

    private func onReadable(_ answer: (ArraySlice<UInt8>) -> [UInt8]) throws {
        let (length, from) = SocketAddress.received {
            recvfrom(socketDescriptor, &storage, storage.count, 0, $0, $1)
        }
        if length < 0 {
            switch errno {
            case EINTR, EAGAIN: return
            default: throw SocketError("recvfrom", errno)
            }
        }
        guard let from else { return }
        reply(answer(storage[..<length]), to: from)
    }

    private func reply(_ bytes: [UInt8], to client: SocketAddress) {
        var interest = pollfd(fd: socketDescriptor, events: Int16(POLLOUT), revents: 0)
        while true {
            let sent = client.withSockaddr { sendto(socketDescriptor, bytes, bytes.count, 0, $0, $1) }
            if sent >= 0 { return }
            if errno == EINTR { continue }
            guard errno == EAGAIN else { return }
            // The send buffer is full: that is over in a moment.
            _ = poll(&interest, 1, 100)
        }
    }
}

func uppercase(_ bytes: inout [UInt8], count: Int) {
    for index in 0..<count { bytes[index] = capital(bytes[index]) }
}

func retryingInterrupts(_ call: () -> Int) -> Int {
    var result = call()
    while result == -1 && errno == EINTR { result = call() }
    return result
}
