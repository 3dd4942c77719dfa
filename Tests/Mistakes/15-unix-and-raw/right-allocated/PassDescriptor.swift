import Course
import Sockets

private final class Envelope {
    let control: UnsafeMutableRawPointer
    let room: Int
    let byte = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    let part = UnsafeMutablePointer<iovec>.allocate(capacity: 1)
    var message = msghdr()

    init(descriptors: Int) {
        room = controlSpace(descriptors * 4)
        control = UnsafeMutableRawPointer.allocate(byteCount: room, alignment: 8)
        memset(control, 0, room)
        byte.initialize(to: 42)
        part.initialize(to: iovec(iov_base: byte, iov_len: 1))
        message.msg_iov = part
        message.msg_iovlen = 1
        message.msg_control = control
        message.msg_controllen = room
    }

    deinit {
        control.deallocate()
        byte.deallocate()
        part.deallocate()
    }
}

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    let envelope = Envelope(descriptors: 1)
    let header = controlFirst(&envelope.message)!
    header.pointee = cmsghdr()
    header.pointee.cmsg_len = controlLength(4)
    header.pointee.cmsg_level = SOL_SOCKET
    header.pointee.cmsg_type = SCM_RIGHTS
    withUnsafeBytes(of: descriptor) { memcpy(controlData(header), $0.baseAddress!, 4) }
    repeat {
        if sendmsg(socket, &envelope.message, MSG_NOSIGNAL) == 1 { return }
    } while errno == EINTR
    throw SocketError("sendmsg", errno)
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    while true {
        let envelope = Envelope(descriptors: 16)
        let count = recvmsg(socket, &envelope.message, 0)
        if count < 0 {
            if errno == EINTR { continue }
            throw SocketError("recvmsg", errno)
        }
        var all: [Int32] = []
        var header = controlFirst(&envelope.message)
        while let current = header {
            if current.pointee.cmsg_level == SOL_SOCKET, current.pointee.cmsg_type == SCM_RIGHTS {
                var offset = controlLength(0)
                while offset + 4 <= current.pointee.cmsg_len {
                    all.append(UnsafeRawPointer(current).load(fromByteOffset: offset, as: Int32.self))
                    offset += 4
                }
            }
            header = controlNext(&envelope.message, current)
        }
        for descriptor in all { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let isCut = envelope.message.msg_flags & MSG_CTRUNC != 0
        switch (all.count, isCut) {
        case (1, false): return all[0]
        case (0, false): throw count == 0 ? DescriptorError.ended : DescriptorError.missing
        default:
            all.forEach { close($0) }
            throw DescriptorError.unwanted
        }
    }
}
