import Sockets

/// Two queues that may each hold a megabyte: while one is not full its source is read, while it is not empty its target is
/// written to.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let most = 1 << 20
    var toPeer: [UInt8] = []
    var toScreen: [UInt8] = []
    var inputHasEnded = false
    var endIsTold = false
    var peerHasEnded = false
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !peerHasEnded || !toScreen.isEmpty {
        var (readable, writable) = (fd_set(), fd_set())
        fdZero(&readable)
        fdZero(&writable)
        if !inputHasEnded && !peerHasEnded && toPeer.count < most { fdSet(input, &readable) }
        if !peerHasEnded && toScreen.count < most { fdSet(socket, &readable) }
        if !toPeer.isEmpty && !peerHasEnded { fdSet(socket, &writable) }
        if !toScreen.isEmpty { fdSet(output, &writable) }
        guard select(max(socket, max(input, output)) + 1, &readable, &writable, nil, nil) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }
        if fdIsSet(input, &readable) != 0 {
            let count = read(input, &buffer, buffer.count)
            if count > 0 { toPeer += buffer[..<count] }
            if count == 0 { inputHasEnded = true }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("read", errno) }
        }
        if fdIsSet(socket, &readable) != 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if count > 0 { toScreen += buffer[..<count] }
            if count == 0 { peerHasEnded = true }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
        }
        if fdIsSet(socket, &writable) != 0 {
            let count = send(socket, toPeer, toPeer.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if count > 0 { toPeer.removeFirst(count) }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("send", errno) }
        }
        if fdIsSet(output, &writable) != 0 {
            let count = write(output, toScreen, min(toScreen.count, 512))
            if count > 0 { toScreen.removeFirst(count) }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("write", errno) }
        }
        if inputHasEnded && toPeer.isEmpty && !endIsTold {
            endIsTold = true
            shutdown(socket, SHUT_WR)
        }
    }
}
