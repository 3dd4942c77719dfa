import Foundation
import Sockets

/// Non-blocking, with poll for both directions at once.
func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(fd) }
    if address.withSockaddr({ connect(fd, $0, $1) }) != 0 {
        guard errno == EINTR else { throw SocketError("connect", errno) }
        var wait = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        while poll(&wait, 1, -1) < 0 && errno == EINTR {}
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size)
        guard code == 0 else { throw SocketError("connect", code) }
    }
    var rest = message[...]
    var answer: [UInt8] = []
    var ended = false
    var buffer = [UInt8](repeating: 0, count: 20_000)
    while true {
        if rest.isEmpty && !ended {
            shutdown(fd, SHUT_WR)
            ended = true
        }
        var interest = pollfd(fd: fd, events: Int16(ended ? POLLIN : POLLIN | POLLOUT), revents: 0)
        if poll(&interest, 1, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        if interest.revents & Int16(POLLOUT) != 0 && !ended {
            let count = rest.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
            if count > 0 { rest = rest.dropFirst(count) }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("send", errno) }
        }
        if interest.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
            let count = recv(fd, &buffer, buffer.count, MSG_DONTWAIT)
            if count == 0 { return answer }
            if count > 0 { answer += buffer[..<count] }
            if count < 0 && errno != EINTR && errno != EAGAIN { throw SocketError("recv", errno) }
        }
    }
}
