import Course
import Foundation
import Sockets

/// Four threads on one socket.
func timestampServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    try check("bind", address.withSockaddr { bind(fd, $0, $1) })
    let done = DispatchSemaphore(value: 0)
    for _ in 0..<4 {
        Thread {
            var buffer = [UInt8](repeating: 0, count: 65_535)
            while true {
                let (n, from) = SocketAddress.received { recvfrom(fd, &buffer, buffer.count, 0, $0, $1) }
                let now = Int(Date().timeIntervalSince1970 * 1000)
                guard n >= 0, let from else { continue }
                let answer = [UInt8]("\(now) ".utf8) + buffer[..<n]
                while from.withSockaddr({ sendto(fd, answer, answer.count, 0, $0, $1) }) < 0 && errno == EINTR {}
            }
        }.start()
    }
    done.wait()
}
