// Functions that make calls for the tap to record: their tests compare the whole transcript.
import Course
import Foundation
import Sockets

let callEntries: [Entry] = [
    .function("stream-calls") { _ in try streamCalls() },
    .function("datagram-calls") { _ in try datagramCalls() },
    .function("vector-calls") { _ in try vectorCalls() },
    .function("descriptor-calls") { _ in try descriptorCalls() },
    .function("wait-calls") { _ in waitCalls() },
    .function("epoll-calls") { _ in epollCalls() },
    .function("failing-calls") { _ in failingCalls() },
    .function("file-calls") { _ in fileCalls() },
    .function("other-calls") { _ in otherCalls() },
    .function("repeat") { try repeated($0) },
]

let loopback = try! SocketAddress(host: "127.0.0.1", port: 0)

func bound(_ type: Int32) throws -> Int32 {
    let descriptor = try check("socket", socket(AF_INET, type, 0))
    try check("bind", loopback.withSockaddr { bind(descriptor, $0, $1) })
    return descriptor
}

/// A connected pair over TCP: what came out of connect, and out of accept.
func connectedPair() throws -> (client: Int32, server: Int32) {
    let listener = try bound(SOCK_STREAM)
    try check("listen", listen(listener, 5))
    let address = try SocketAddress.local(of: listener)
    let client = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
    try check("connect", address.withSockaddr { connect(client, $0, $1) })
    let server = try check("accept", accept(listener, nil, nil))
    close(listener)
    return (client, server)
}

private func streamCalls() throws -> Value {
    let listener = try bound(SOCK_STREAM)
    listen(listener, 5)
    let address = try SocketAddress.local(of: listener)
    let client = socket(AF_INET, SOCK_STREAM, 0)
    _ = address.withSockaddr { connect(client, $0, $1) }
    let (server, _) = SocketAddress.received { accept(listener, $0, $1) }
    _ = SocketAddress.received { getpeername(server, $0, $1) }
    var buffer = [UInt8](repeating: 0, count: 100)
    send(client, "hello\n", 6, MSG_NOSIGNAL)
    recv(server, &buffer, 100, 0)
    write(server, "a\u{0}b", 3)
    read(client, &buffer, 50)
    shutdown(client, SHUT_WR)
    recv(server, &buffer, 100, 0)
    close(server)
    close(client)
    let again = socket(AF_INET, SOCK_STREAM, 0)
    _ = address.withSockaddr { connect(again, $0, $1) }
    accept4(listener, nil, nil, SOCK_CLOEXEC)
    return .none
}

private func datagramCalls() throws -> Value {
    let first = try bound(SOCK_DGRAM)
    let second = try bound(SOCK_DGRAM)
    let address = try SocketAddress.local(of: first)
    var buffer = [UInt8](repeating: 0, count: 100)
    for _ in 0..<4 { _ = address.withSockaddr { sendto(second, "ping", 4, 0, $0, $1) } }
    _ = SocketAddress.received { recvfrom(first, &buffer, 100, 0, $0, $1) }
    recvfrom(first, &buffer, 2, MSG_TRUNC, nil, nil)
    recv(first, &buffer, 100, 0)
    var part = iovec()
    var message = msghdr()
    buffer.withUnsafeMutableBytes { bytes in
        part.iov_base = bytes.baseAddress
        part.iov_len = bytes.count
        withUnsafeMutablePointer(to: &part) {
            message.msg_iov = $0
            message.msg_iovlen = 1
            recvmsg(first, &message, 0)
        }
    }
    _ = address.withSockaddr { connect(second, $0, $1) }
    send(second, "", 0, 0)
    recvfrom(first, &buffer, 100, 0, nil, nil)
    return .none
}

private func vectorCalls() throws -> Value {
    let (client, server) = try connectedPair()
    var words = [Array("one".utf8), Array("two".utf8)]
    var parts = words.indices.map { index in
        words[index].withUnsafeMutableBytes { iovec(iov_base: $0.baseAddress, iov_len: 3) }
    }
    writev(client, &parts, 2)
    readv(server, &parts, 2)
    parts.withUnsafeMutableBufferPointer { buffer in
        var message = msghdr()
        message.msg_iov = buffer.baseAddress
        message.msg_iovlen = 2
        sendmsg(client, &message, MSG_NOSIGNAL)
        recvmsg(server, &message, 0)
    }
    return withExtendedLifetime(words) { .none }
}

private func descriptorCalls() throws -> Value {
    let descriptor = socket(AF_INET, SOCK_DGRAM, 0)
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    var on: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
    var length = socklen_t(4)
    getsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, &length)
    var waiting: Int32 = 0
    _ = ioctl(descriptor, UInt(FIONREAD), &waiting)
    dup(descriptor)
    dup2(descriptor, 10)
    _ = duplicate(descriptor, 11, O_CLOEXEC)
    close(10)
    var pair: [Int32] = [0, 0]
    socketpair(AF_UNIX, SOCK_STREAM, 0, &pair)
    return .int(Int(flags))
}

private func waitCalls() -> Value {
    var pair: [Int32] = [0, 0]
    socketpair(AF_UNIX, SOCK_STREAM, 0, &pair)
    write(pair[0], "x", 1)
    var readable = fd_set()
    fdSet(pair[1], &readable)
    select(pair[1] + 1, &readable, nil, nil, nil)
    var time = timespec(tv_sec: 2, tv_nsec: 0)
    pselect(pair[1] + 1, &readable, nil, nil, &time, nil)
    var event = pollfd(fd: pair[1], events: Int16(POLLIN), revents: 0)
    poll(&event, 1, 3000)
    _ = pollWithMask(&event, 1, &time, nil)
    time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
    nanosleep(&time, nil)
    usleep(2000)
    sleep(0)
    return .none
}

private func epollCalls() -> Value {
    let first = epoll_create(1)
    let second = epoll_create1(Int32(EPOLL_CLOEXEC))
    let pipe = eventfd(1, 0)
    var event = epoll_event()
    event.events = 1
    epoll_ctl(first, EPOLL_CTL_ADD, pipe, &event)
    epoll_wait(first, &event, 1, 4000)
    epoll_pwait(first, &event, 1, -1, nil)
    close(second)
    return .none
}

private func failingCalls() -> Value {
    var buffer = [UInt8](repeating: 0, count: 10)
    var codes: [Value] = []
    func note(_ result: Int) { codes.append(.int(result == -1 ? Int(errno) : 0)) }
    note(recv(77, &buffer, 10, 0))
    note(read(77, &buffer, 10))
    note(Int(bind(77, nil, 0)))
    note(Int(accept(77, nil, nil)))
    note(recvmsg(77, nil, 0))
    let socket = socket(AF_INET, SOCK_DGRAM, 0)
    note(recv(socket, &buffer, 10, MSG_DONTWAIT))
    note(Int(poll(nil, 1, 0)))
    // A call that succeeds leaves errno alone, whatever the tap asked on the way.
    errno = 0
    var pair: [Int32] = [0, 0]
    socketpair(AF_UNIX, SOCK_STREAM, 0, &pair)
    write(pair[0], "x", 1)
    read(pair[1], &buffer, 10)
    codes.append(.int(Int(errno)))
    return .list(codes)
}

private func fileCalls() -> Value {
    let file = open("file", O_RDWR | O_CREAT, 0o600)
    write(file, "to a file", 9)
    lseek(file, 0, SEEK_SET)
    var buffer = [UInt8](repeating: 0, count: 10)
    read(file, &buffer, 10)
    write(1, "to standard output\n", 19)
    write(2, "to standard error\n", 18)
    var pair: [Int32] = [0, 0]
    socketpair(AF_UNIX, SOCK_STREAM, 0, &pair)
    lseek(file, 0, SEEK_SET)
    sendfile(pair[0], file, nil, 9)
    return .none
}

private func otherCalls() -> Value {
    signal(SIGPIPE, SIG_IGN)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = SIG_IGN
    sigaction(SIGHUP, &action, nil)
    kill(getpid(), 0)
    var found: UnsafeMutablePointer<addrinfo>?
    getaddrinfo("127.0.0.1", nil, nil, &found)
    freeaddrinfo(found)
    var thread = pthread_t()
    pthread_create(&thread, nil, { _ in nil }, nil)
    pthread_join(thread, nil)
    return .none
}

/// Makes one call so many times, between a socket and its peer, and says what each returned: a count, or the negative
/// of errno. For fault plans.
private func repeated(_ arguments: [Value]) throws -> Value {
    let (client, server) = try pair(arguments.string(2))
    if try ["nonblocking", "nearly-full"].contains(arguments.string(2)) {
        for descriptor in [client, server] { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    }
    var word = Array("0123456789".utf8)
    var room = [UInt8](repeating: 0, count: 10)
    if try arguments.string(2) == "nearly-full" {
        // Until poll says that there is no room. There is some.
        var writable = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
        while poll(&writable, 1, 0) == 1 { try check("send", hiddenSend(client, &word, 10, MSG_NOSIGNAL)) }
    }
    let listener = try bound(SOCK_STREAM)
    listen(listener, 50)
    let address = try SocketAddress.local(of: listener)
    let call = try arguments.string(0)
    return .list(
        try (0..<arguments.int(1)).map { _ -> Value in
            if call.hasPrefix("rec") || call.hasPrefix("read") { try check("send", hiddenSend(client, &word, 10, 0)) }
            let result: Int
            switch call {
            case "recv": result = recv(server, &room, 10, 0)
            case "recv-dontwait": result = recv(server, &room, 10, MSG_DONTWAIT)
            case "recvfrom": result = recvfrom(server, &room, 10, 0, nil, nil)
            case "read": result = read(server, &room, 10)
            case "readv", "recvmsg", "writev", "sendmsg":
                result = halves(&room, &word, call, call.hasPrefix("re") ? server : client)
            case "send": result = send(client, &word, 10, MSG_NOSIGNAL)
            case "sendto": result = sendto(client, &word, 10, MSG_NOSIGNAL, nil, 0)
            case "write": result = write(client, &word, 10)
            case "socket": result = Int(socket(AF_INET, SOCK_STREAM, 0))
            case "listen": result = Int(listen(listener, 1))
            case "accept":
                let other = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
                _ = address.withSockaddr { connect(other, $0, $1) }
                result = Int(accept(listener, nil, nil))
            case "connect":
                let other = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
                result = Int(address.withSockaddr { connect(other, $0, $1) })
                if result == -1 && errno == EINTR {
                    // The kernel goes on connecting: connect(2).
                    var event = pollfd(fd: other, events: Int16(POLLOUT), revents: 0)
                    let ready = poll(&event, 1, 5000)
                    var code: Int32 = -1
                    var length = socklen_t(4)
                    getsockopt(other, SOL_SOCKET, SO_ERROR, &code, &length)
                    let connected = ready == 1 && code == 0 && send(other, "x", 1, MSG_NOSIGNAL) == 1
                    return .string(connected ? "interrupted, then connected" : "interrupted, then lost")
                }
            case "writable", "silent":
                let (call, event) = (try arguments.string(2), Int32(call == "writable" ? POLLOUT : POLLIN))
                result = Int(waitReady(call, client, event))
            case "poll": result = Int(poll(nil, 0, 1))
            case "poll-now": result = Int(poll(nil, 0, 0))
            case "select": result = Int(select(0, nil, nil, nil, nil))
            case "select-left":
                // What is left of the time, in microseconds.
                var time = timeval(tv_sec: 1, tv_usec: 500)
                select(0, nil, nil, nil, &time)
                return .int(Int(time.tv_sec) * 1_000_000 + Int(time.tv_usec))
            case "fork":
                let child = forkProcess()
                if child == 0 { _exit(0) }
                if child > 0 { hiddenWait(child, nil, 0) }
                result = child > 0 ? 1 : -1
            case "waitpid":
                let child = forkProcess()
                if child == 0 { _exit(0) }
                result = waitpid(child, nil, 0) > 0 ? 1 : -1
            case "getaddrinfo-names":
                var hints = addrinfo()
                hints.ai_socktype = SOCK_STREAM
                var found: UnsafeMutablePointer<addrinfo>?
                guard getaddrinfo("192.0.2.7", nil, &hints, &found) == 0 else { return .string("nothing") }
                defer { freeaddrinfo(found) }
                var names: [String] = []
                var next = found
                while let entry = next?.pointee {
                    let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
                    names.append(SocketAddress(bytes: Array(bytes))?.host ?? "?")
                    next = entry.ai_next
                }
                return .string(names.joined(separator: " "))
            case "getaddrinfo":
                var found: UnsafeMutablePointer<addrinfo>?
                result = Int(getaddrinfo("127.0.0.1", nil, nil, &found))
                if let found { freeaddrinfo(found) }
                return .int(result)
            default: throw ArgumentError(description: "no call \(call)")
            }
            return .int(result == -1 ? -Int(errno) : result)
        })
}

private func pair(_ kind: String) throws -> (client: Int32, server: Int32) {
    switch kind {
    case "datagram": return try datagramPair()
    case "own":
        var pair: [Int32] = [0, 0]
        try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &pair))
        return (pair[0], pair[1])
    default: return try connectedPair()
    }
}

/// Waits for a socket that can be written, or for one on which nothing comes, by any of the calls.
private func waitReady(_ call: String, _ descriptor: Int32, _ event: Int32) -> Int32 {
    var time = timespec(tv_sec: 0, tv_nsec: 1_000_000)
    var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
    var readable = fd_set()
    var writable = fd_set()
    if event == POLLOUT { fdSet(descriptor, &writable) } else { fdSet(descriptor, &readable) }
    let epoll = epoll_create1(0)
    defer { close(epoll) }
    var watched = epoll_event(events: UInt32(event), data: epoll_data_t(fd: descriptor))
    epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &watched)
    switch call {
    case "poll": return poll(&entry, 1, 1)
    case "ppoll": return pollWithMask(&entry, 1, &time, nil)
    case "select":
        var time = timeval(tv_sec: 0, tv_usec: 1000)
        return select(descriptor + 1, &readable, &writable, nil, &time)
    case "pselect": return pselect(descriptor + 1, &readable, &writable, nil, &time, nil)
    case "epoll_wait": return epoll_wait(epoll, &watched, 1, 1)
    default: return epoll_pwait(epoll, &watched, 1, 1, nil)
    }
}

private func datagramPair() throws -> (client: Int32, server: Int32) {
    let server = try bound(SOCK_DGRAM)
    let client = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    let address = try SocketAddress.local(of: server)
    try check("connect", address.withSockaddr { connect(client, $0, $1) })
    return (client, server)
}

private func halves(_ room: inout [UInt8], _ word: inout [UInt8], _ call: String, _ descriptor: Int32) -> Int {
    func parts(_ bytes: UnsafeMutableRawBufferPointer) -> Int {
        var parts = [
            iovec(iov_base: bytes.baseAddress, iov_len: 4), iovec(iov_base: bytes.baseAddress! + 4, iov_len: 6),
        ]
        return parts.withUnsafeMutableBufferPointer { buffer in
            var message = msghdr()
            message.msg_iov = buffer.baseAddress
            message.msg_iovlen = 2
            switch call {
            case "readv": return readv(descriptor, buffer.baseAddress, 2)
            case "writev": return writev(descriptor, buffer.baseAddress, 2)
            case "recvmsg": return recvmsg(descriptor, &message, 0)
            default: return sendmsg(descriptor, &message, MSG_NOSIGNAL)
            }
        }
    }
    return call.hasPrefix("re") ? room.withUnsafeMutableBytes(parts) : word.withUnsafeMutableBytes(parts)
}

// What Glibc's module leaves out.
@_silgen_name("dup3") private func duplicate(_ descriptor: Int32, _ number: Int32, _ flags: Int32) -> Int32
@_silgen_name("ppoll") private func pollWithMask(
    _ descriptors: UnsafeMutablePointer<pollfd>, _ count: nfds_t, _ time: UnsafePointer<timespec>,
    _ mask: UnsafePointer<sigset_t>?
) -> Int32
