import Course
import Sockets

/// Over select, as lesson 06 has it.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let before = fcntl(socket, F_GETFL)
    guard before >= 0, fcntl(socket, F_SETFL, before | O_NONBLOCK) == 0 else { throw SocketError("fcntl", errno) }
    do {
        let answer = try exchange(socket, request, answerLength)
        _ = fcntl(socket, F_SETFL, before)
        return answer
    } catch {
        _ = fcntl(socket, F_SETFL, before)
        throw error
    }
}

private func exchange(_ socket: Int32, _ request: [UInt8], _ answerLength: Int) throws -> [UInt8] {
    var sent = 0
    var answer = [UInt8](repeating: 0, count: answerLength)
    var got = 0
    while sent < request.count || got < answerLength {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        if got < answerLength { fdSet(socket, &readable) }
        if sent < request.count { fdSet(socket, &writable) }
        if select(socket + 1, &readable, &writable, nil, nil) < 0 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }
        if fdIsSet(socket, &writable) != 0 {
            let count = request.withUnsafeBytes { send(socket, $0.baseAddress! + sent, $0.count - sent, MSG_NOSIGNAL) }
            if count > 0 {
                sent += count
            } else if errno != EAGAIN && errno != EINTR {
                throw SocketError("send", errno)
            }
        }
        if fdIsSet(socket, &readable) != 0 {
            let count = answer.withUnsafeMutableBytes { recv(socket, $0.baseAddress! + got, answerLength - got, 0) }
            if count == 0 { throw StreamError.ended(received: got) }
            if count > 0 { got += count } else if errno != EAGAIN && errno != EINTR { throw SocketError("recv", errno) }
        }
    }
    return answer
}
