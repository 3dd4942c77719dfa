import Sockets

/// Edge-triggered: each direction is taken as far as it goes, and only then is there something to wait for.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK, 0))
    defer { close(connection) }
    if address.withSockaddr({ connect(connection, $0, $1) }) < 0 {
        guard [EINPROGRESS, EINTR].contains(errno) else { throw SocketError("connect", errno) }
        try waitFor(connection, POLLOUT)
        var outcome: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &outcome, &size))
        guard outcome == 0 else { throw SocketError("connect", outcome) }
    }
    let epoll = try check("epoll_create1", epoll_create1(0))
    defer { close(epoll) }
    var interest = epoll_event()
    interest.events = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
    try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &interest))

    var question = message[...]
    var answer: [UInt8] = []
    var asked = false
    var answered = false
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { room.deallocate() }
    while true {
        receiving: while !answered {
            switch try receiveSome(connection, room) {
            case .bytes(let count): answer += room[..<count]
            case .nothingYet: break receiving
            case .end: answered = true
            }
        }
        while !asked, let count = try sendSome(connection, question) {
            if count == 0 { break }
            question = question.dropFirst(count)
        }
        if !asked && question.isEmpty {
            asked = true
            // ENOTCONN: it has just been reset, and the next recv says so.
            if shutdown(connection, SHUT_WR) < 0 && errno == ENOTCONN { continue }
        }
        if asked && answered { return answer }
        var event = epoll_event()
        if epoll_wait(epoll, &event, 1, -1) < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
    }
}
