import Course
import Sockets

let roomForDatagram = 65_535

/// Makes room for exactly what is there: most questions are short, and 64 KiB for each would be a waste.
private final class Reader {
    private let descriptor: Int32

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// Waits for the next datagram.
    func next() throws -> (bytes: [UInt8], sender: SocketAddress) {
        while true {
            try waitForInput()
            var size: Int32 = 0
            try check("ioctl(FIONREAD)", ioctl(descriptor, UInt(FIONREAD), &size))
            // Woken up for nothing: wait again.
            if size == 0 { continue }
            var bytes = [UInt8](repeating: 0, count: Int(size))
            let (count, sender) = SocketAddress.received {
                recvfrom(descriptor, &bytes, bytes.count, MSG_DONTWAIT, $0, $1)
            }
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw SocketError("recvfrom", errno)
            }
            if let sender { return (Array(bytes[..<count]), sender) }
        }
    }

    private func waitForInput() throws {
        var interest = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&interest, 1, -1) < 0 {
            if errno != EINTR { throw SocketError("poll", errno) }
        }
    }
}

func uppercaseServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(descriptor) }
    try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
    let reader = Reader(descriptor)
    while true {
        let (question, sender) = try reader.next()
        let answer = question.map { byte in byte >= 97 && byte <= 122 ? byte - 32 : byte }
        _ = retryingInterrupts { sender.withSockaddr { sendto(descriptor, answer, answer.count, 0, $0, $1) } }
    }
}

func retryingInterrupts(_ call: () -> Int) -> Int {
    var result = call()
    while result < 0 && errno == EINTR { result = call() }
    return result
}
