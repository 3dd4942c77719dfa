import Course
import Sockets

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    while true {
        // All memory of the message anew for each attempt.
        let controlSize = controlSpace(4)
        let control = UnsafeMutableRawPointer.allocate(byteCount: controlSize, alignment: 8)
        for offset in 0..<controlSize {
            control.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
        }
        let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
        byte.initialize(to: 0)
        let part = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
        part.initialize(to: iovec(iov_base: byte, iov_len: 1))

        var message = msghdr()
        message.msg_iov = part
        message.msg_iovlen = 1
        message.msg_control = control
        message.msg_controllen = .init(controlSize)
        if let header = controlFirst(&message) {
            header.pointee.cmsg_level = SOL_SOCKET
            header.pointee.cmsg_type = SCM_RIGHTS
            header.pointee.cmsg_len = .init(controlLength(4))
            var number = descriptor
            let data = UnsafeMutableRawPointer(controlData(header)!)
            withUnsafeBytes(of: &number) { bytes in
                for offset in 0..<4 {
                    data.storeBytes(of: bytes[offset], toByteOffset: offset, as: UInt8.self)
                }
            }
        }
        let result = sendmsg(socket, &message, MSG_NOSIGNAL)
        let code = errno
        part.deallocate()
        byte.deallocate()
        control.deallocate()
        if result >= 0 {
            return
        }
        if code != EINTR {
            throw SocketError("sendmsg", code)
        }
    }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    var received = Received()
    while true {
        received = receiveOnce(socket)
        if received.count >= 0 {
            break
        }
        if received.code != EINTR {
            throw SocketError("recvmsg", received.code)
        }
    }

    if received.count == 1 && received.descriptors.count == 1 && !received.wasCut {
        let descriptor = received.descriptors[0]
        // It has the mark already; looked at once more.
        let flags = fcntl(descriptor, F_GETFD)
        if flags != -1 && flags & FD_CLOEXEC == 0 {
            _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC)
        }
        return descriptor
    }
    for descriptor in received.descriptors {
        close(descriptor)
    }
    if received.wasCut {
        throw DescriptorError.unwanted
    }
    if received.descriptors.count > 0 {
        throw DescriptorError.unwanted
    }
    if received.count == 0 {
        throw DescriptorError.ended
    }
    throw DescriptorError.missing
}

private struct Received {
    var count = -1
    var code: Int32 = 0
    var wasCut = false
    var descriptors: [Int32] = []
}

private func receiveOnce(_ socket: Int32) -> Received {
    var received = Received()
    // Twice the room that is ever needed.
    let controlSize = controlSpace(4 * 506)
    let control = UnsafeMutableRawPointer.allocate(byteCount: controlSize, alignment: 8)
    for offset in 0..<controlSize {
        control.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
    }
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    byte.initialize(to: 0)
    let part = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    part.initialize(to: iovec(iov_base: byte, iov_len: 1))

    var message = msghdr()
    message.msg_iov = part
    message.msg_iovlen = 1
    message.msg_control = control
    message.msg_controllen = .init(controlSize)
    received.count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)
    received.code = errno
    if received.count >= 0 {
        received.wasCut = message.msg_flags & MSG_CTRUNC != 0
        var next = controlFirst(&message)
        while next != nil {
            let header = next!
            if header.pointee.cmsg_level == SOL_SOCKET {
                if header.pointee.cmsg_type == SCM_RIGHTS {
                    let data = UnsafeRawPointer(controlData(header)!)
                    let end = Int(header.pointee.cmsg_len) - controlLength(0)
                    var offset = 0
                    while offset + 4 <= end {
                        received.descriptors.append(data.loadUnaligned(fromByteOffset: offset, as: Int32.self))
                        offset += 4
                    }
                }
            }
            next = controlNext(&message, header)
        }
    }
    part.deallocate()
    byte.deallocate()
    control.deallocate()
    return received
}
