import Sockets

/// Two queues that may each hold several reads; the peer's side is served first.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    guard max(socket, max(input, output)) < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var typed: [UInt8] = [], heard: [UInt8] = []
    var keyboardOpen = true, halfClosed = false, peerOpen = true
    let most = 32_768

    while peerOpen || !heard.isEmpty {
        if !keyboardOpen && typed.isEmpty && !halfClosed {
            halfClosed = true
            shutdown(socket, SHUT_WR)
        }
        var r = fd_set(), w = fd_set()
        fdZero(&r)
        fdZero(&w)
        // Once the peer has ended, only what it said is still of interest.
        if peerOpen && keyboardOpen && typed.count < most { fdSet(input, &r) }
        if peerOpen && heard.count < most { fdSet(socket, &r) }
        if peerOpen && !typed.isEmpty { fdSet(socket, &w) }
        if !heard.isEmpty { fdSet(output, &w) }
        if pselect(max(socket, input, output) + 1, &r, &w, nil, nil, nil) < 0 {
            if errno == EINTR { continue }
            throw SocketError("pselect", errno)
        }
        if fdIsSet(output, &w) != 0 {
            // Not more than a blocking terminal or pipe surely has room for.
            let count = write(output, heard, min(heard.count, 2048))
            if try moved("write", count) { heard.removeFirst(count) }
        }
        var buffer = [UInt8](repeating: 0, count: 4096)
        if fdIsSet(socket, &r) != 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if try moved("recv", count) {
                heard += buffer[..<count]
                peerOpen = count > 0
            }
        }
        if peerOpen && fdIsSet(socket, &w) != 0 {
            let count = send(socket, typed, typed.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if try moved("send", count) { typed.removeFirst(count) }
        }
        if peerOpen && fdIsSet(input, &r) != 0 {
            let count = read(input, &buffer, buffer.count)
            if try moved("read", count) {
                typed += buffer[..<count]
                keyboardOpen = count > 0
            }
        }
    }
}

private func moved(_ call: String, _ count: Int) throws -> Bool {
    if count >= 0 { return true }
    guard errno == EINTR || errno == EAGAIN else { throw SocketError(call, errno) }
    return false
}
