import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let was = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL)) & O_NONBLOCK
    // FIONBIO touches this one flag and no other.
    func setNonblocking(_ on: Bool) -> Int32 {
        var value: Int32 = on ? 1 : 0
        return ioctl(socket, UInt(FIONBIO), &value)
    }
    if was == 0 { try check("ioctl(FIONBIO)", setNonblocking(true)) }
    defer { if was == 0 { _ = setNonblocking(false) } }

    var position = 0
    var answer: [UInt8] = []
    var room = [UInt8](repeating: 0, count: 32_768)
    while position < request.count || answer.count < answerLength {
        let can = try ready(socket, write: position < request.count, read: answer.count < answerLength)
        if can.read {
            let count = recv(socket, &room, min(room.count, answerLength - answer.count), MSG_DONTWAIT)
            switch count {
            case 0: throw StreamError.ended(received: answer.count)
            case 1...: answer.append(contentsOf: room.prefix(count))
            default: try unlessNotNow("recv")
            }
        }
        if can.write {
            let count = request.withUnsafeBytes {
                send(socket, $0.baseAddress! + position, $0.count - position, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count >= 0 { position += count } else { try unlessNotNow("send") }
        }
    }
    return answer
}

private func unlessNotNow(_ call: String) throws {
    switch errno {
    case EAGAIN, EINTR: return
    case let code: throw SocketError(call, code)
    }
}

private func ready(_ socket: Int32, write: Bool, read: Bool) throws -> (read: Bool, write: Bool) {
    while true {
        let count: Int32
        var answer = (read: false, write: false)
        if socket < Int32(FD_SETSIZE) {
            var readers = fd_set()
            var writers = fd_set()
            fdZero(&readers)
            fdZero(&writers)
            if read { fdSet(socket, &readers) }
            if write { fdSet(socket, &writers) }
            count = select(socket + 1, &readers, &writers, nil, nil)
            if count > 0 { answer = (fdIsSet(socket, &readers) != 0, fdIsSet(socket, &writers) != 0) }
        } else {
            var one = pollfd(fd: socket, events: Int16((read ? POLLIN : 0) | (write ? POLLOUT : 0)), revents: 0)
            count = poll(&one, 1, -1)
            if count > 0 { answer = (read, write) }
        }
        if count >= 0 { return answer }
        if errno != EINTR { throw SocketError("select", errno) }
    }
}
