import Course
import Sockets

/// One descriptor is four bytes of ancillary data.
private let descriptorSize = MemoryLayout<Int32>.size

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    // Room for header, data and padding: CMSG_SPACE. What the header says of itself is without the last padding: CMSG_LEN.
    let space = controlSpace(descriptorSize)
    var byte: UInt8 = 0
    try withUnsafeTemporaryAllocation(byteCount: space, alignment: MemoryLayout<cmsghdr>.alignment) { control in
        control.initializeMemory(as: UInt8.self, repeating: 0)
        try withUnsafeMutablePointer(to: &byte) { byte in
            // Ancillary data travels beside bytes. On a stream without a byte nothing would be sent at all.
            var part = iovec(iov_base: byte, iov_len: 1)
            try withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = .init(space)
                guard let header = controlFirst(&message) else { preconditionFailure("there is room for one header") }
                header.pointee.cmsg_level = SOL_SOCKET
                header.pointee.cmsg_type = SCM_RIGHTS
                header.pointee.cmsg_len = .init(controlLength(descriptorSize))
                UnsafeMutableRawPointer(controlData(header)).storeBytes(of: descriptor, as: Int32.self)
                while sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno == EINTR {}
            }
        }
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    // The kernel puts as many descriptors into the process as the room holds, padding included: with room for one, two may
    // come. With room for all that may come at once (SCM_MAX_FD) none is cut off, and each is seen and can be closed.
    let space = controlSpace(253 * descriptorSize)
    var byte: UInt8 = 0
    var received: [Int32] = []
    var wasCut = false
    let count = withUnsafeTemporaryAllocation(byteCount: space, alignment: MemoryLayout<cmsghdr>.alignment) {
        control in
        withUnsafeMutablePointer(to: &byte) { byte in
            var part = iovec(iov_base: byte, iov_len: 1)
            return withUnsafeMutablePointer(to: &part) { part in
                while true {
                    // All of it anew on every call: the kernel writes to it.
                    var message = msghdr()
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = .init(space)
                    // Close-on-exec from birth: another thread may start a program in this very moment.
                    let count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)
                    if count < 0 && errno == EINTR { continue }
                    if count >= 0 {
                        received = descriptors(in: &message)
                        wasCut = message.msg_flags & MSG_CTRUNC != 0
                    }
                    return count
                }
            }
        }
    }
    if count < 0 { throw SocketError("recvmsg", errno) }
    if count == 1 && received.count == 1 && !wasCut {
        // Nothing new on Linux; macOS has no MSG_CMSG_CLOEXEC.
        _ = fcntl(received[0], F_SETFD, FD_CLOEXEC)
        return received[0]
    }
    // They are ours already, wanted or not.
    for descriptor in received { close(descriptor) }
    if received.count > 1 || wasCut { throw DescriptorError.unwanted }
    throw count == 0 ? DescriptorError.ended : DescriptorError.missing
}

/// Every descriptor that came, from however many headers.
private func descriptors(in message: inout msghdr) -> [Int32] {
    var found: [Int32] = []
    var next = controlFirst(&message)
    while let header = next {
        if header.pointee.cmsg_level == SOL_SOCKET && header.pointee.cmsg_type == SCM_RIGHTS {
            let length = Int(header.pointee.cmsg_len) - controlLength(0)
            let data = UnsafeRawBufferPointer(start: controlData(header), count: length)
            for start in stride(from: 0, to: length, by: descriptorSize) {
                found.append(data.loadUnaligned(fromByteOffset: start, as: Int32.self))
            }
        }
        next = controlNext(&message, header)
    }
    return found
}
