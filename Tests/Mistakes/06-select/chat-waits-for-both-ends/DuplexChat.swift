import Course
import Sockets

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let top = max(socket, input, output)
    guard top < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }

    var toPeer: [UInt8] = []
    var toScreen: [UInt8] = []
    var inputOpen = true
    var peerOpen = true
    var saidGoodbye = false
    var chunk = [UInt8](repeating: 0, count: 4096)

    func harmless(_ code: Int32) -> Bool { code == EINTR || code == EAGAIN }

    // As long as there is still something to do in one of the two directions.
    while inputOpen || peerOpen || !toPeer.isEmpty || !toScreen.isEmpty {
        var r = fd_set()
        var w = fd_set()
        fdZero(&r)
        fdZero(&w)
        if inputOpen && toPeer.isEmpty { fdSet(input, &r) }
        if peerOpen && toScreen.isEmpty { fdSet(socket, &r) }
        if !toPeer.isEmpty { fdSet(socket, &w) }
        if !toScreen.isEmpty { fdSet(output, &w) }

        guard select(top + 1, &r, &w, nil, nil) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        if !toPeer.isEmpty, fdIsSet(socket, &w) != 0 {
            let n = send(socket, toPeer, toPeer.count, MSG_NOSIGNAL | Int32(MSG_DONTWAIT))
            if n >= 0 {
                toPeer.removeFirst(n)
            } else if !harmless(errno) {
                throw SocketError("send", errno)
            }
        }
        if !toScreen.isEmpty, fdIsSet(output, &w) != 0 {
            let n = write(output, toScreen, min(toScreen.count, 4096))
            if n >= 0 {
                toScreen.removeFirst(n)
            } else if !harmless(errno) {
                throw SocketError("write", errno)
            }
        }
        if inputOpen, toPeer.isEmpty, fdIsSet(input, &r) != 0 {
            let n = read(input, &chunk, chunk.count)
            if n > 0 {
                toPeer = Array(chunk.prefix(n))
            } else if n == 0 {
                inputOpen = false
            } else if !harmless(errno) {
                throw SocketError("read", errno)
            }
        }
        if peerOpen, toScreen.isEmpty, fdIsSet(socket, &r) != 0 {
            let n = recv(socket, &chunk, chunk.count, 0)
            if n > 0 {
                toScreen = Array(chunk.prefix(n))
            } else if n == 0 {
                peerOpen = false
            } else if !harmless(errno) {
                throw SocketError("recv", errno)
            }
        }

        if !inputOpen && toPeer.isEmpty && !saidGoodbye {
            shutdown(socket, SHUT_WR)
            saidGoodbye = true
        }
    }
}
