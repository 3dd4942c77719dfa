import Course
import Dispatch
import Sockets

/// A UDP server on a queue of its own.
final class DispatchServer: @unchecked Sendable {
    private let fd: Int32
    private let respond: (inout [UInt8]) -> Void
    private let ended = DispatchSemaphore(value: 0)
    private var failure: SocketError?
    private var room = [UInt8](repeating: 0, count: 66_000)

    init(host: String, port: UInt16, respond: @escaping (inout [UInt8]) -> Void) throws {
        let address = try SocketAddress(host: host, port: port)
        self.respond = respond
        let made = try check("socket", socket(address.family, SOCK_DGRAM, 0))
        guard address.withSockaddr({ bind(made, $0, $1) }) == 0 else {
            let error = SocketError("bind", errno)
            close(made)
            throw error
        }
        fd = made
    }

    func run() throws {
        let source = DispatchSource.makeReadSource(fileDescriptor: fd, queue: DispatchQueue(label: "udp"))
        source.setEventHandler { if !self.takeAll() { source.cancel() } }
        source.setCancelHandler {
            close(self.fd)
            self.ended.signal()
        }
        source.resume()
        ended.wait()
        if let failure { throw failure }
    }

    /// - Returns: false if the socket is of no more use.
    private func takeAll() -> Bool {
        while true {
            let (count, sender) = SocketAddress.received {
                recvfrom(fd, &room, room.count, MSG_DONTWAIT, $0, $1)
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { return true }
                failure = SocketError("recvfrom", errno)
                return false
            }
            guard let sender else { continue }
            var bytes = Array(room[..<count])
            respond(&bytes)
            var sent: Int
            repeat {
                sent = sender.withSockaddr { sendto(fd, bytes, bytes.count, 0, $0, $1) }
            } while sent < 0 && errno == EINTR
        }
    }
}

func uppercaseServer(host: String, port: UInt16) throws {
    try DispatchServer(host: host, port: port) { bytes in
        for i in bytes.indices where bytes[i] >= UInt8(ascii: "a") && bytes[i] <= UInt8(ascii: "z") {
            bytes[i] ^= 0x20
        }
    }.run()
}
