import Course
import Sockets

/// Looks until everything is there, and then takes exactly that: what follows stays in the socket.
func receiveExactly(_ socket: Int32, count: Int) throws -> [UInt8] {
    if count == 0 { return [] }
    var page = [UInt8](repeating: 0, count: count)

    // MSG_PEEK leaves the bytes where they are, so nothing is lost if we have to look again.
    while true {
        let visible = try call { recv(socket, &page, count, MSG_PEEK) }
        if visible == 0 { throw StreamError.ended(received: 0) }
        if visible == count { break }
        // Some of it: the rest is on its way.
        poll(nil, 0, 1)
    }

    // Now they are ours.
    var answer: [UInt8] = []
    answer.reserveCapacity(count)
    while answer.count < count {
        let missing = count - answer.count
        let taken = try call { recv(socket, &page, missing, 0) }
        if taken == 0 { throw StreamError.ended(received: answer.count) }
        answer.append(contentsOf: page.prefix(taken))
    }
    return answer
}

/// Again as long as a signal comes in between.
private func call(_ receive: () -> Int) throws -> Int {
    while true {
        let result = receive()
        if result >= 0 { return result }
        if errno != EINTR { throw SocketError("recv", errno) }
    }
}
