import Sockets

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    try untilNotInterrupted {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try check("send", rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) })
            rest = rest.dropFirst(count)
        }
    }
}

/// PEP 475 in Swift: whatever was interrupted is done again.
private func untilNotInterrupted(_ body: () throws -> Void) throws {
    while true {
        do { return try body() } catch let error as SocketError where error.code == EINTR { continue }
    }
}
