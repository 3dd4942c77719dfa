import Course
import Sockets

let roomForDatagram = 65_535

func uppercaseServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    try check("bind", address.withSockaddr { bind(server, $0, $1) })

    var buffer = [UInt8](repeating: 0, count: roomForDatagram)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvfrom", errno)
        }
        guard let sender else { continue }

        uppercase(&buffer, count: count)

        _ = retryingInterrupts { sender.withSockaddr { sendto(server, buffer, count, 0, $0, $1) } }
    }
}

func uppercase(_ bytes: inout [UInt8], count: Int) {
    for index in 0..<count where (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(bytes[index]) {
        bytes[index] -= UInt8(ascii: "a") - UInt8(ascii: "A")
    }
}

func retryingInterrupts(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
