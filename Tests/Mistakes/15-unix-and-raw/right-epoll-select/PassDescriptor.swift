import Course
import Sockets

/// The room is an array of 64-bit words: aligned for a cmsghdr.
private func withRoom<R>(_ bytes: Int, _ body: (UnsafeMutablePointer<msghdr>) throws -> R) rethrows -> R {
    var room = [UInt64](repeating: 0, count: (bytes + 7) / 8)
    var one: [UInt8] = [0]
    return try room.withUnsafeMutableBytes { room in
        try one.withUnsafeMutableBytes { one in
            var part = iovec(iov_base: one.baseAddress, iov_len: 1)
            return try withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = room.baseAddress
                message.msg_controllen = .init(bytes)
                return try body(&message)
            }
        }
    }
}

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    try withRoom(controlSpace(4)) { message in
        guard let header = controlFirst(message) else { throw SocketError("sendmsg", EINVAL) }
        header.pointee = cmsghdr()
        header.pointee.cmsg_level = SOL_SOCKET
        header.pointee.cmsg_type = SCM_RIGHTS
        header.pointee.cmsg_len = .init(controlLength(4))
        withUnsafeBytes(of: descriptor) { memcpy(controlData(header), $0.baseAddress!, 4) }
        var result: Int
        repeat { result = sendmsg(socket, message, MSG_NOSIGNAL) } while result < 0 && errno == EINTR
        try check("sendmsg", result)
    }
}

/// What is in the table already, and has to be closed unless it is given on.
private struct Catch {
    var descriptors: [Int32] = []
    func throwBack(_ error: DescriptorError) -> DescriptorError {
        for descriptor in descriptors { close(descriptor) }
        return error
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    // 253 is SCM_MAX_FD; credentials may come beside, where somebody has asked for them.
    let size = controlSpace(253 * 4) + controlSpace(MemoryLayout<ucred>.size)
    return try withRoom(size) { message in
        let room = message.pointee.msg_control
        var count: Int
        repeat {
            message.pointee.msg_control = room
            message.pointee.msg_controllen = .init(size)
            count = recvmsg(socket, message, MSG_CMSG_CLOEXEC)
        } while count < 0 && errno == EINTR
        try check("recvmsg", count)

        var haul = Catch()
        var header = controlFirst(message)
        while header != nil {
            let this = header!.pointee
            if this.cmsg_level == SOL_SOCKET && this.cmsg_type == SCM_RIGHTS {
                var numbers = [Int32](repeating: -1, count: (Int(this.cmsg_len) - controlLength(0)) / 4)
                memcpy(&numbers, controlData(header!), numbers.count * 4)
                haul.descriptors += numbers
            }
            header = controlNext(message, header!)
        }
        switch (haul.descriptors.count, message.pointee.msg_flags & MSG_CTRUNC != 0) {
        case (1, false): return haul.descriptors[0]
        case (0, false): throw haul.throwBack(count == 0 ? .ended : .missing)
        default: throw haul.throwBack(.unwanted)
        }
    }
}
