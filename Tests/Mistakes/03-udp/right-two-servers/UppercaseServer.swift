import Course
import Dispatch
import Foundation
import Sockets

/// A dispatch source and a lock that is never opened.
func uppercaseServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    try check("bind", address.withSockaddr { bind(fd, $0, $1) })
    let source = DispatchSource.makeReadSource(fileDescriptor: fd, queue: DispatchQueue(label: "udp"))
    source.setEventHandler {
        var buffer = [UInt8](repeating: 0, count: 65_535)
        let (n, from) = SocketAddress.received { recvfrom(fd, &buffer, buffer.count, MSG_DONTWAIT, $0, $1) }
        guard n >= 0, let from else { return }
        let answer = buffer[..<n].map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }
        while from.withSockaddr({ sendto(fd, answer, answer.count, 0, $0, $1) }) < 0 && errno == EINTR {}
    }
    source.resume()
    DispatchSemaphore(value: 0).wait()
}
