import Sockets

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    guard max(socket, input, output) < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var pending: ArraySlice<UInt8> = []
    var keyboardOpen = true
    var buffer = [UInt8](repeating: 0, count: 65_536)

    while true {
        var reading = fd_set()
        var writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        fdSet(socket, &reading)
        if !pending.isEmpty { fdSet(socket, &writing) } else if keyboardOpen { fdSet(input, &reading) }
        guard select(max(socket, input) + 1, &reading, &writing, nil, nil) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        if fdIsSet(socket, &reading) != 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count == 0 { return }
            if count > 0 {
                try show(buffer[..<count], on: output)
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("recv", errno)
            }
        }
        if fdIsSet(input, &reading) != 0 {
            let count = read(input, &buffer, 16_384)
            if count > 0 { pending = ArraySlice(Array(buffer[..<count])) }
            if count == 0 {
                keyboardOpen = false
                shutdown(socket, SHUT_WR)
            }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("read", errno) }
        }
        if fdIsSet(socket, &writing) != 0 {
            let count = pending.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_DONTWAIT | MSG_NOSIGNAL) }
            if count >= 0 {
                pending = pending.dropFirst(count)
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("send", errno)
            }
        }
    }
}

/// A screen is always quick enough: write all of it.
private func show(_ bytes: ArraySlice<UInt8>, on output: Int32) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
        if count >= 0 { rest = rest.dropFirst(count) } else if errno != EINTR { throw SocketError("write", errno) }
    }
}
