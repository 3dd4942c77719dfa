import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    var sent = 0
    while sent < request.count {
        let count = request[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 { throw SocketError("send", errno) }
        sent += count
    }
    var answer: [UInt8] = []
    while answer.count < answerLength {
        var buffer = [UInt8](repeating: 0, count: answerLength - answer.count)
        let count = recv(socket, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count < 0 { throw SocketError("recv", errno) }
        if count == 0 { throw StreamError.ended(received: answer.count) }
        answer += buffer.prefix(count)
    }
    return answer
}
