import Course
import Sockets

let roomForDatagram = 65_535

func uppercaseServer(host: String, port: UInt16) throws {
    let here = try SocketAddress(host: host, port: port)
    let fd = try check("socket", socket(here.family, SOCK_DGRAM, 0))
    defer { close(fd) }
    try check("bind", here.withSockaddr { bind(fd, $0, $1) })

    // One header, one vector, one piece of memory: what recvmsg fills in is what sendmsg sends.
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: roomForDatagram)
    let peer = UnsafeMutablePointer<sockaddr_storage>.allocate(capacity: 1)
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    let header = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
    defer {
        memory.deallocate()
        peer.deallocate()
        vector.deallocate()
        header.deallocate()
    }
    peer.initialize(to: sockaddr_storage())
    vector.initialize(to: iovec(iov_base: UnsafeMutableRawPointer(memory), iov_len: roomForDatagram))
    header.initialize(to: msghdr())
    header.pointee.msg_name = UnsafeMutableRawPointer(peer)
    header.pointee.msg_iov = vector
    header.pointee.msg_iovlen = 1

    while true {
        header.pointee.msg_namelen = socklen_t(MemoryLayout<sockaddr_storage>.size)
        header.pointee.msg_flags = 0
        let n = recvmsg(fd, header, 0)
        if n < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvmsg", errno)
        }
        for p in memory..<(memory + n) where p.pointee >= 0x61 && p.pointee <= 0x7A { p.pointee -= 0x20 }
        vector.pointee.iov_len = n
        var sent = sendmsg(fd, header, 0)
        while sent < 0 && errno == EINTR { sent = sendmsg(fd, header, 0) }
    }
}

func uppercase(_ bytes: inout [UInt8], count: Int) {
    for i in 0..<count where bytes[i] >= 0x61 && bytes[i] <= 0x7A { bytes[i] -= 0x20 }
}

func retryingInterrupts(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        guard result == -1, errno == EINTR else { return result }
    }
}
