import Course
import Sockets

/// A listening socket as an object: closed when nobody has it any more.
final class Listening {
    let fd: Int32

    init(_ host: String, _ port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
        var yes: CInt = 1
        try check("setsockopt", setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<CInt>.size)))
        try check("bind", address.withSockaddr { bind(fd, $0, $1) })
        try check("listen", listen(fd, 4096))
    }

    deinit { close(fd) }

    func next() throws -> Int32 {
        while true {
            let client = accept(fd, nil, nil)
            if client >= 0 { return client }
            let reason = errno
            if [EINTR, ECONNABORTED, EPROTO, EPERM].contains(reason) { continue }
            if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason) {
                poll(nil, 0, 20)
                continue
            }
            throw SocketError("accept", reason)
        }
    }
}

let capitals: [UInt8] = (0...255).map { (b: Int) in (97...122).contains(b) ? UInt8(b - 32) : UInt8(b) }

/// Does not close.
func shout(_ client: Int32) {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 16_384)
    defer { room.deallocate() }
    var count = 0
    repeat {
        repeat { count = recv(client, room, 16_384, 0) } while count < 0 && errno == EINTR
        if count <= 0 { return }
        for i in 0..<count { room[i] = capitals[Int(room[i])] }
        var done = 0
        while done < count {
            let n = send(client, room + done, count - done, MSG_NOSIGNAL)
            if n >= 0 { done += n } else if errno != EINTR { return }
        }
    } while true
}

func iterativeServer(host: String, port: UInt16) throws {
    let listening = try Listening(host, port)
    while true {
        let client = try listening.next()
        shout(client)
        close(client)
    }
}
