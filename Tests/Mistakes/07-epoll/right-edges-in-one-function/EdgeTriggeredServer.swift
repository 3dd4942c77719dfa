import Sockets

/// Everything in one function: a table by descriptor number, plain memory, and clients that are gone over again until
/// nobody gets any further.
func edgeTriggeredServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | O_NONBLOCK, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    let list = try check("epoll_create1", epoll_create1(0))
    defer { close(list) }
    var watch = epoll_event(events: EPOLLIN.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: listener))
    try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, listener, &watch))

    let room = 32_768
    var waiting: [(bytes: UnsafeMutablePointer<UInt8>, start: Int, end: Int, ended: Bool)?] = []
    let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: 128)
    defer { events.deallocate() }
    var acceptAgain = false

    while true {
        let count = epoll_wait(list, events, 128, acceptAgain ? 50 : -1)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        var listenerIsReady = acceptAgain
        for index in 0..<max(0, Int(count)) {
            let number = Int(events[index].data.fd)
            if number == Int(listener) {
                listenerIsReady = true
                continue
            }
            guard number < waiting.count, var client = waiting[number] else { continue }
            var isGone = false
            var isStuck = false
            while !isGone && !isStuck {
                isStuck = true
                if client.start == client.end && !client.ended {
                    let got = recv(Int32(number), client.bytes, room, 0)
                    if got > 0 {
                        for place in 0..<got where client.bytes[place] >= 97 && client.bytes[place] <= 122 {
                            client.bytes[place] &-= 32
                        }
                        (client.start, client.end) = (0, got)
                        isStuck = false
                    } else if got == 0 {
                        client.ended = true
                    } else if errno == EINTR {
                        isStuck = false
                    } else if errno != EAGAIN {
                        isGone = true
                    }
                }
                if client.start < client.end {
                    let sent = send(
                        Int32(number), client.bytes + client.start, client.end - client.start, MSG_NOSIGNAL)
                    if sent > 0 {
                        client.start += sent
                        isStuck = false
                    } else if errno == EINTR {
                        isStuck = false
                    } else if errno != EAGAIN {
                        isGone = true
                    }
                }
                if client.ended && client.start == client.end { isGone = true }
            }
            if isGone {
                client.bytes.deallocate()
                waiting[number] = nil
                close(Int32(number))
            } else {
                waiting[number] = client
            }
        }
        acceptAgain = false
        while listenerIsReady {
            let client = accept4(listener, nil, nil, Int32(O_NONBLOCK))
            if client >= 0 {
                while waiting.count <= Int(client) { waiting.append(nil) }
                waiting[Int(client)] = (UnsafeMutablePointer<UInt8>.allocate(capacity: room), 0, 0, false)
                var both = epoll_event(
                    events: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue, data: epoll_data_t(fd: client))
                try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, client, &both))
            } else if errno == EAGAIN {
                listenerIsReady = false
            } else if errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS {
                acceptAgain = true
                listenerIsReady = false
            } else if errno == EBADF || errno == EINVAL {
                throw SocketError("accept", errno)
            }
        }
    }
}
