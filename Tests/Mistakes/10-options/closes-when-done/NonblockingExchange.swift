import Course
import Foundation
import Sockets

/// A thread for each direction; both wait in poll, on the same non-blocking socket.
func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let flags = try check("fcntl", fcntl(socket, F_GETFL))
    try check("fcntl", fcntl(socket, F_SETFL, flags | O_NONBLOCK))
    defer { _ = fcntl(socket, F_SETFL, flags) }

    let bell = eventfd(0, 0)
    if bell == -1 { throw SocketError("eventfd", errno) }
    defer { close(bell) }

    var sendFailure: SocketError?
    let group = DispatchGroup()
    DispatchQueue.global().async(group: group) {
        var sent = 0
        while sent < request.count {
            let taken = request.withUnsafeBytes {
                send(socket, $0.baseAddress! + sent, request.count - sent, MSG_NOSIGNAL)
            }
            if taken > 0 { sent += taken }
            if taken >= 0 || errno == EINTR { continue }
            if errno != EAGAIN {
                sendFailure = SocketError("send", errno)
                return
            }
            var entries = [
                pollfd(fd: socket, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: bell, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&entries, 2, -1)
            if entries[1].revents != 0 { return }
        }
    }

    let outcome = Result { () throws -> [UInt8] in
        var answer: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 16384)
        while answer.count < answerLength {
            let got = recv(socket, &room, min(room.count, answerLength - answer.count), 0)
            if got > 0 { answer += room[..<got] }
            if got == 0 { throw StreamError.ended(received: answer.count) }
            if got > 0 || errno == EINTR { continue }
            if errno != EAGAIN { throw SocketError("recv", errno) }
            var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, -1)
        }
        return answer
    }
    if case .failure = outcome {
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }
    group.wait()
    let answer = try outcome.get()
    if let sendFailure { throw sendFailure }
    close(socket)
    return answer
}
