import Course
import Sockets

func datagramRequest(message: [UInt8], to path: String, from own: String, timeout: Milliseconds) throws -> [UInt8] {
    var limit: UInt64 = 0
    if timeout > 0 {
        limit = UInt64(timeout) * 1_000_000
    }
    let start = nanoseconds()
    let serverAddress = try SocketAddress(unixPath: path)
    let ownAddress = try SocketAddress(unixPath: own)

    let descriptor = socket(AF_UNIX, SOCK_DGRAM, 0)
    if descriptor == -1 {
        throw SocketError("socket", errno)
    }
    let bound = ownAddress.withSockaddr { bind(descriptor, $0, $1) }
    if bound == -1 {
        let code = errno
        close(descriptor)
        throw SocketError("bind", code)
    }

    // From here on there are two things to put away.
    var answer: [UInt8] = []
    do {
        let connected = serverAddress.withSockaddr { connect(descriptor, $0, $1) }
        if connected == -1 {
            throw SocketError("connect", errno)
        }
        try sendQuestion(message, descriptor, start, limit)
        answer = try receiveAnswer(descriptor, start, limit)
    } catch {
        close(descriptor)
        unlink(own)
        throw error
    }
    close(descriptor)
    unlink(own)
    return answer
}

private func sendQuestion(_ message: [UInt8], _ descriptor: Int32, _ start: UInt64, _ limit: UInt64) throws {
    while true {
        let count = send(descriptor, message, message.count, MSG_DONTWAIT | MSG_NOSIGNAL)
        if count != -1 {
            return
        }
        let code = errno
        if code != EAGAIN && code != EINTR {
            throw SocketError("send", code)
        }
        if nanoseconds() - start >= limit {
            throw SocketError("send", ETIMEDOUT)
        }
        // A short sleep, and try again.
        usleep(2000)
    }
}

private func receiveAnswer(_ descriptor: Int32, _ start: UInt64, _ limit: UInt64) throws -> [UInt8] {
    var room = [UInt8](repeating: 0, count: 400_000)
    while true {
        if try isReady(descriptor, Int32(POLLIN), milliseconds: 3) {
            let count = recv(descriptor, &room, room.count, MSG_DONTWAIT)
            if count >= 0 {
                return Array(room[0..<count])
            }
            let code = errno
            if code != EAGAIN && code != EINTR {
                throw SocketError("recv", code)
            }
        }
        if nanoseconds() - start >= limit {
            throw SocketError("recv", ETIMEDOUT)
        }
    }
}
