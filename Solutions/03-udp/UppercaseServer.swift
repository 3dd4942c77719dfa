import Course
import Sockets

/// Room for any datagram. The length field of UDP has 16 bits (RFC 768), and 8 of those bytes are its own header, so a
/// payload is at most 65,527 bytes over IPv6, and 65,507 over IPv4, which counts its 20 bytes of header in as well.
let roomForDatagram = 65_535

func uppercaseServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(server) }
    try check("bind", address.withSockaddr { bind(server, $0, $1) })

    // A buffer that is too small does not split a datagram over two calls: the rest of it is lost.
    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
        if count < 0 {
            // A signal came before a datagram did. Nothing is lost: ask again.
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno)
        }
        guard let sender else { continue }

        uppercase(&buffer, count: count)

        // An empty datagram (count 0) is a datagram: unlike 0 from a TCP socket it does not mean "the end".
        // What cannot be sent to this sender must not stop the server for the others: UDP may lose a datagram
        // anyway, and its sender must be ready for that.
        _ = retryingInterrupts { sender.withSockaddr { sendto(server, buffer, count, 0, $0, $1) } }
    }
}

/// Turns a…z into A…Z and leaves every other byte alone: they are bytes, not text in some language.
func uppercase(_ bytes: inout [UInt8], count: Int) {
    for index in 0..<count where (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(bytes[index]) {
        bytes[index] -= UInt8(ascii: "a") - UInt8(ascii: "A")
    }
}

/// Makes a call again for as long as a signal interrupts it before it has done anything (signal(7)).
func retryingInterrupts(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
