import Dispatch
import Sockets

func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(connection) }
    try connectUninterrupted(connection, address)

    nonisolated(unsafe) var failure: (any Error)?
    let sender = DispatchGroup()
    DispatchQueue.global().async(group: sender) {
        do {
            try sendAll(connection, message)
            try check("shutdown", shutdown(connection, SHUT_WR))
        } catch { failure = error }
    }
    let answer = try receiveToEnd(connection)
    sender.wait()
    if let failure { throw failure }
    return answer
}

func connectUninterrupted(_ connection: Int32, _ address: SocketAddress) throws {
    if address.withSockaddr({ connect(connection, $0, $1) }) == 0 { return }
    if errno != EINTR { throw SocketError("connect", errno) }
    var waiting = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
    while poll(&waiting, 1, -1) < 0 {
        if errno != EINTR { throw SocketError("poll", errno) }
    }
    var outcome: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    try check("getsockopt", getsockopt(connection, SOL_SOCKET, SO_ERROR, &outcome, &length))
    if outcome != 0 { throw SocketError("connect", outcome) }
}

func receiveToEnd(_ socket: Int32) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        if count == 0 { return bytes }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recv", errno)
        }
        bytes += buffer[..<count]
    }
}
