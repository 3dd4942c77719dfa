import Course
import Sockets

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    let space = controlSpace(4)
    try withUnsafeTemporaryAllocation(byteCount: space, alignment: 8) { control in
        control.initializeMemory(as: UInt8.self, repeating: 0)
        var byte: UInt8 = 0x2a
        try withUnsafeMutablePointer(to: &byte) { b in
            var vector = iovec(iov_base: b, iov_len: 1)
            try withUnsafeMutablePointer(to: &vector) { v in
                var message = msghdr()
                message.msg_iov = v
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = space
                let header = controlFirst(&message)!
                header.pointee.cmsg_level = SOL_SOCKET
                header.pointee.cmsg_type = Int32(SCM_RIGHTS)
                header.pointee.cmsg_len = controlLength(4)
                memcpy(controlData(header), [descriptor], 4)
                while sendmsg(socket, &message, MSG_NOSIGNAL) < 0 {
                    if errno != EINTR { throw SocketError("sendmsg", errno) }
                }
            }
        }
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    let space = controlSpace(4 * 253)
    let control = UnsafeMutableRawPointer.allocate(byteCount: space, alignment: 8)
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    let vector = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    defer {
        control.deallocate()
        byte.deallocate()
        vector.deallocate()
    }
    vector.initialize(to: iovec(iov_base: byte, iov_len: 1))
    var message = msghdr()
    var n = 0
    repeat {
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = control
        message.msg_controllen = space
        n = recvmsg(socket, &message, Int32(MSG_CMSG_CLOEXEC))
    } while n < 0 && errno == EINTR
    if n < 0 { throw SocketError("recvmsg", errno) }
    var came: [Int32] = []
    var next = controlFirst(&message)
    while let header = next {
        if header.pointee.cmsg_level == SOL_SOCKET && header.pointee.cmsg_type == Int32(SCM_RIGHTS) {
            let count = (header.pointee.cmsg_len - controlLength(0)) / 4
            controlData(header).withMemoryRebound(to: Int32.self, capacity: count) {
                came.append(contentsOf: UnsafeBufferPointer(start: $0, count: count))
            }
        }
        next = controlNext(&message, header)
    }
    let cut = message.msg_flags & Int32(MSG_CTRUNC) != 0
    if n == 1 && came.count == 1 && !cut { return came[0] }
    came.forEach { close($0) }
    throw n == 0 ? DescriptorError.ended : came.isEmpty && !cut ? .missing : .unwanted
}
