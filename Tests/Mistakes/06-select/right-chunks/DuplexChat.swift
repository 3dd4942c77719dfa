import Sockets

/// poll with four places; one that is not of interest has -1, so it is not even reported as hung up.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    var outward: ArraySlice<UInt8> = []
    var inward: ArraySlice<UInt8> = []
    var inputEnded = false
    var buffer = [UInt8](repeating: 0, count: 16_384)

    while true {
        func place(_ descriptor: Int32, _ events: Int32, if wanted: Bool) -> pollfd {
            pollfd(fd: wanted ? descriptor : -1, events: Int16(events), revents: 0)
        }
        var places = [
            place(socket, POLLIN, if: inward.isEmpty), place(output, POLLOUT, if: !inward.isEmpty),
            place(input, POLLIN, if: outward.isEmpty && !inputEnded), place(socket, POLLOUT, if: !outward.isEmpty),
        ]
        if poll(&places, 4, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if places[0].revents != 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count == 0 { return }
            if count > 0 { inward = ArraySlice(Array(buffer[..<count])) } else { try mayGoOn("recv") }
        }
        if places[1].revents != 0 {
            let count = inward.prefix(4096).withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
            if count >= 0 { inward = inward.dropFirst(count) } else { try mayGoOn("write") }
        }
        if places[2].revents != 0 {
            let count = read(input, &buffer, buffer.count)
            if count > 0 {
                outward = ArraySlice(Array(buffer[..<count]))
            } else if count == 0 {
                // It is only read while nothing is pending, so all of it has been sent.
                inputEnded = true
                shutdown(socket, SHUT_WR)
            } else {
                try mayGoOn("read")
            }
        }
        if places[3].revents != 0 {
            let count = outward.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
            if count >= 0 { outward = outward.dropFirst(count) } else { try mayGoOn("send") }
        }
    }
}

private func mayGoOn(_ call: String) throws {
    guard errno == EINTR || errno == EAGAIN else { throw SocketError(call, errno) }
}
