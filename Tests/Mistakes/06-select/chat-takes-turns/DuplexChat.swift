import Sockets

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let typed = read(input, &buffer, buffer.count)
        if typed < 0 && errno == EINTR { continue }
        if typed <= 0 { break }
        try writeAll(socket, buffer[..<typed])
        let heard = recv(socket, &buffer, buffer.count, 0)
        if heard <= 0 { return }
        try writeAll(output, buffer[..<heard])
    }
    shutdown(socket, SHUT_WR)
    while true {
        let heard = recv(socket, &buffer, buffer.count, 0)
        if heard <= 0 { return }
        try writeAll(output, buffer[..<heard])
    }
}

private func writeAll(_ descriptor: Int32, _ bytes: ArraySlice<UInt8>) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        try check("write", count)
        rest = rest.dropFirst(count)
    }
}
