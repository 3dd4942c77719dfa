import Course
import Sockets

/// All of 127.0.0.0/8.
let everybody = "127.255.255.255"

func broadcast(message: [UInt8], port: UInt16) throws {
    let target = try SocketAddress(host: everybody, port: port)
    let descriptor = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(descriptor) }
    try allowBroadcast(descriptor)
    try sendAll(message[...], to: target, on: descriptor)
}

/// sendto may take less than it was given.
private func sendAll(_ bytes: ArraySlice<UInt8>, to target: SocketAddress, on descriptor: Int32) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { buffer in
            target.withSockaddr { sendto(descriptor, buffer.baseAddress, buffer.count, 0, $0, $1) }
        }
        if count < 0 && errno == EINTR { continue }
        try check("sendto", count)
        rest = rest.dropFirst(count)
    }
}

func allowBroadcast(_ socket: Int32) throws {
    var yes: Int32 = 1
    let size = socklen_t(MemoryLayout.size(ofValue: yes))
    guard setsockopt(socket, SOL_SOCKET, SO_BROADCAST, &yes, size) == 0 else {
        throw SocketError("setsockopt(SO_BROADCAST)", errno)
    }
}
