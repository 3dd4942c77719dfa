// The server around the hub of lesson 12: each line that a member sends goes to all members. It is the lab's; what a student
// writes is the hub.
import Foundation
import Sockets

/// A thread for each connection: joins, passes each line on, leaves, closes.
struct HubServer: Sendable {
    let hub: any MessageHub

    /// A longer line is passed on in pieces.
    private static let mostLine = 1 << 16

    func run(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        defer { close(listener) }
        var on: Int32 = 1
        try check(
            "setsockopt",
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
        while true {
            let connection = accept(listener, nil, nil)
            if connection >= 0 {
                Thread.detachNewThread { serve(connection) }
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: poll(nil, 0, 50)  // no room now: clients leave, in time
            default: throw SocketError("accept", errno)
            }
        }
    }

    private func serve(_ connection: Int32) {
        hub.join(connection)
        // The one place where a member's connection is closed, and never before the hub has let go of it.
        defer {
            hub.leave(connection)
            close(connection)
        }
        var buffer = [UInt8](repeating: 0, count: 16_384)
        var line: [UInt8] = []
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            line += buffer[..<count]
            var rest = line[...]
            while let end = endOfLine(rest) {
                hub.broadcast(Array(rest[..<end]))
                rest = rest[end...]
            }
            line = Array(rest)
        }
    }

    /// Behind the first newline, or where a line is cut that is too long; nil while there is neither.
    private func endOfLine(_ bytes: ArraySlice<UInt8>) -> Int? {
        // memchr, for hubs are tried with megabytes.
        let newline = bytes.withUnsafeBytes { bytes -> Int? in
            guard let start = bytes.baseAddress, let found = memchr(start, 10, bytes.count) else { return nil }
            return start.distance(to: UnsafeRawPointer(found)) + 1
        }
        let length = newline ?? bytes.count
        if length >= HubServer.mostLine { return bytes.startIndex + HubServer.mostLine }
        return newline.map { bytes.startIndex + $0 }
    }
}
