import Sockets

/// Never waits in send: when there is no room it waits in poll. Right for sockets that block and for those that do not.
func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while let count = try sendSome(socket, rest) {
        rest = rest.dropFirst(count)
        if rest.isEmpty { return }
        if count == 0 { try waitFor(socket, POLLOUT) }
    }
}

/// What is taken at once: 0 if there is no room now, nil if there is nothing to send.
func sendSome(_ socket: Int32, _ bytes: ArraySlice<UInt8>) throws -> Int? {
    if bytes.isEmpty { return nil }
    while true {
        let count = bytes.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
        if count >= 0 { return count }
        switch errno {
        case EINTR: continue
        case EAGAIN: return 0
        case let code: throw SocketError("send", code)
        }
    }
}

func waitFor(_ socket: Int32, _ events: Int32) throws {
    var one = pollfd(fd: socket, events: Int16(events), revents: 0)
    while poll(&one, 1, -1) < 0 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
}
