import Course
import Sockets

/// One question over a socket that knows its peer.
private struct Question {
    let descriptor: Int32
    let deadline: Int

    func send(_ message: [UInt8]) throws {
        while Sockets.send(descriptor, message, message.count, 0) < 0 {
            guard errno == EINTR else { throw SocketError("send", errno) }
        }
    }
}

func connectedClient(message: [UInt8], host: String, port: UInt16, timeout: Milliseconds) throws -> [UInt8] {
    let server = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(server.family, SOCK_DGRAM, 0))
    defer { close(descriptor) }

    // Nothing is sent here, so there is nobody who could refuse: that is seen by send and recv.
    _ = server.withSockaddr { connect(descriptor, $0, $1) }

    let question = Question(descriptor: descriptor, deadline: monotonicNanoseconds() + timeout * 1_000_000)
    try question.send(message)
    if let (answer, _) = try receiveDatagram(on: descriptor, until: question.deadline) { return answer }
    throw RequestError.noAnswer
}

func receiveDatagram(
    on socket: Int32, until deadline: Int
) throws -> (bytes: [UInt8], sender: SocketAddress?)? {
    var space = [UInt8](repeating: 0, count: 65_535)
    while case let left = deadline - monotonicNanoseconds(), left > 0 {
        var interest = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        let milliseconds = (left + 999_999) / 1_000_000
        let ready = poll(&interest, 1, Int32(clamping: milliseconds))
        if ready == 0 { continue }
        if ready < 0 {
            if errno == EINTR { continue }
            throw SocketError("poll", errno)
        }
        let (count, sender) = SocketAddress.received { recvfrom(socket, &space, space.count, MSG_DONTWAIT, $0, $1) }
        if count >= 0 { return (Array(space[0..<count]), sender) }
        if errno == EINTR || errno == EAGAIN { continue }
        throw SocketError("recvfrom", errno)
    }
    return nil
}

let nanosecondsPerMillisecond = 1_000_000

func monotonicNanoseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
}
