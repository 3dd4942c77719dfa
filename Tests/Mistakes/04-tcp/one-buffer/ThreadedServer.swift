import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    while true {
        let connection = try acceptClient(listener)
        Thread.detachNewThread { serve2(connection) }
    }
}

nonisolated(unsafe) let shared = UnsafeMutablePointer<UInt8>.allocate(capacity: 16384)
func serve2(_ connection: Int32) {
    defer { close(connection) }
    while true {
        let count = recv(connection, shared, 16384, 0)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        for i in 0..<count { shared[i] = uppercase(shared[i]) }
        var sent = 0
        while sent < count {
            let n = send(connection, shared + sent, count - sent, MSG_NOSIGNAL)
            if n < 0 && errno == EINTR { continue }
            guard n > 0 else { return }
            sent += n
        }
    }
}
