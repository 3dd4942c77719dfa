import Course
import Sockets

private let capitals: [UInt8] = (0...255).map { (byte: UInt8) in byte > 96 && byte < 123 ? byte - 32 : byte }

func uppercaseServer(host: String, port: UInt16) throws {
    try answerForEver(host, port) { question, answer in
        for byte in question { answer.append(capitals[Int(byte)]) }
    }
}

/// Sleeps in epoll_wait until datagrams come, then takes all there are.
func answerForEver(
    _ host: String, _ port: UInt16, _ think: (UnsafeRawBufferPointer, inout [UInt8]) -> Void
) throws {
    let address = try SocketAddress(host: host, port: port)
    let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
    defer { close(server) }
    try check("bind", address.withSockaddr { bind(server, $0, $1) })
    let epoll = try check("epoll_create1", epoll_create1(0))
    defer { close(epoll) }
    try watch(server, EPOLLIN.rawValue | EPOLLET.rawValue, epoll)

    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { room.deallocate() }
    var answer: [UInt8] = []
    answer.reserveCapacity(1 << 17)
    var happened = epoll_event()
    while true {
        if epoll_wait(epoll, &happened, 1, -1) < 0 {
            if errno == EINTR { continue }
            throw SocketError("epoll_wait", errno)
        }
        var more = true
        while more {
            var sender = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            try withUnsafeMutablePointer(to: &sender) { storage in
                try storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                    let count = recvfrom(server, room.baseAddress, room.count, MSG_DONTWAIT, name, &length)
                    guard count >= 0 else {
                        switch errno {
                        case EINTR: return
                        case EAGAIN: more = false
                        default: throw SocketError("recvfrom", errno)
                        }
                        return
                    }
                    answer.removeAll(keepingCapacity: true)
                    think(UnsafeRawBufferPointer(rebasing: room[..<count]), &answer)
                    // One who cannot be reached is no reason not to answer the others.
                    while sendto(server, answer, answer.count, 0, name, length) < 0 && errno == EINTR {}
                }
            }
        }
    }
}

func watch(_ fd: Int32, _ events: UInt32, _ epoll: Int32) throws {
    var event = epoll_event(events: events, data: epoll_data_t(fd: fd))
    try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
}

func again(_ name: String, _ call: () -> Int) throws {
    while call() < 0 { guard errno == EINTR else { throw SocketError(name, errno) } }
}
