import Course
import Sockets

/// Descriptors that came and have no owner yet. Those that are not taken out are closed with it.
private final class Strays {
    private var list: [Int32] = []

    func add(_ descriptor: Int32) { list.append(descriptor) }
    var count: Int { list.count }
    func takeOnly() -> Int32 { list.removeLast() }
    deinit { for descriptor in list { close(descriptor) } }
}

private let one = MemoryLayout<Int32>.size

/// Calls `body` with a message that holds one byte and `size` bytes of ancillary data, all zero.
private func exchange<Result>(_ size: Int, _ body: (UnsafeMutablePointer<msghdr>) throws -> Result) rethrows -> Result {
    let control = calloc(1, size)!
    let byte = calloc(1, 1)!
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    let message = UnsafeMutablePointer<msghdr>.allocate(capacity: 1)
    defer {
        free(control)
        free(byte)
        vector.deallocate()
        message.deallocate()
    }
    vector.initialize(to: iovec(iov_base: byte, iov_len: 1))
    message.initialize(to: msghdr())
    message.pointee.msg_iov = vector
    message.pointee.msg_iovlen = 1
    message.pointee.msg_control = control
    message.pointee.msg_controllen = .init(size)
    return try body(message)
}

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    try exchange(controlSpace(one)) { message in
        guard let header = controlFirst(message), let place = controlData(header) else {
            throw SocketError("sendmsg", EINVAL)
        }
        header.pointee.cmsg_len = .init(controlLength(one))
        header.pointee.cmsg_level = SOL_SOCKET
        header.pointee.cmsg_type = SCM_RIGHTS
        withUnsafeBytes(of: descriptor) { bytes in
            for index in 0..<one { place[index] = bytes[index] }
        }
        while true {
            if sendmsg(socket, message, Int32(MSG_NOSIGNAL)) >= 0 { return }
            let reason = errno
            if reason != EINTR { throw SocketError("sendmsg", reason) }
        }
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    let strays = Strays()
    // A page of it: more than any message can bring (253 descriptors are some 1,030 bytes).
    let (count, wasCut) = try exchange(4096) { message in
        var count = -1
        while count < 0 {
            message.pointee.msg_controllen = 4096
            message.pointee.msg_flags = 0
            count = recvmsg(socket, message, Int32(MSG_CMSG_CLOEXEC))
            if count < 0 && errno != EINTR { throw SocketError("recvmsg", errno) }
        }
        var next = controlFirst(message)
        while let header = next {
            if (header.pointee.cmsg_level, header.pointee.cmsg_type) == (SOL_SOCKET, Int32(SCM_RIGHTS)),
                let data = controlData(header)
            {
                let howMany = (Int(header.pointee.cmsg_len) - controlLength(0)) / one
                for index in 0..<max(0, howMany) {
                    var descriptor: Int32 = -1
                    memcpy(&descriptor, data + index * one, one)
                    strays.add(descriptor)
                }
            }
            next = controlNext(message, header)
        }
        return (count, Int(message.pointee.msg_flags) & Int(MSG_CTRUNC) != 0)
    }
    switch (strays.count, wasCut, count) {
    case (1, false, 1): return strays.takeOnly()
    case (0, false, 0): throw DescriptorError.ended
    case (0, false, _): throw DescriptorError.missing
    default: throw DescriptorError.unwanted
    }
}
