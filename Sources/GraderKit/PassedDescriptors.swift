// A copy of a descriptor for another process: SCM_RIGHTS, unix(7), cmsg(3).
import Sockets

/// Sends bytes over a Unix socket without waiting, and with the first of them copies of `descriptors`.
///
/// - Returns: as send(2): how many bytes went, or -1 with errno.
public func sendPassing(_ descriptors: [Int32], _ bytes: UnsafeRawBufferPointer, to socket: Int32) -> Int {
    guard !descriptors.isEmpty else { return send(socket, bytes.baseAddress, bytes.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
    let length = descriptors.count * MemoryLayout<Int32>.size
    let space = controlSpace(length)
    return withUnsafeTemporaryAllocation(byteCount: space, alignment: MemoryLayout<cmsghdr>.alignment) { control in
        control.initializeMemory(as: UInt8.self, repeating: 0)
        var part = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        return withUnsafeMutablePointer(to: &part) { part in
            var message = msghdr()
            message.msg_iov = part
            message.msg_iovlen = 1
            message.msg_control = control.baseAddress
            message.msg_controllen = .init(space)
            guard let header = controlFirst(&message) else { preconditionFailure("room for a header was made") }
            header.pointee.cmsg_level = SOL_SOCKET
            header.pointee.cmsg_type = .init(SCM_RIGHTS)
            header.pointee.cmsg_len = .init(controlLength(length))
            descriptors.withUnsafeBytes {
                controlData(header).update(from: $0.bindMemory(to: UInt8.self).baseAddress!, count: length)
            }
            return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
        }
    }
}

/// What one recvmsg(2) brought.
public struct PassedMessage {
    public var bytes: [UInt8]
    /// Close-on-exec from birth; whoever gets them closes them.
    public var descriptors: [Int32]
}

/// Receives at most `most` bytes from a Unix socket, and the descriptors that come with them.
///
/// - Returns: nil if there is nothing, with errno; no bytes at the end of the stream.
public func receivePassed(_ most: Int, from socket: Int32) -> PassedMessage? {
    let room = 64
    let space = controlSpace(room * MemoryLayout<Int32>.size)
    var bytes = [UInt8](repeating: 0, count: most)
    var descriptors: [Int32] = []
    let count = withUnsafeTemporaryAllocation(byteCount: space, alignment: MemoryLayout<cmsghdr>.alignment) {
        control in
        bytes.withUnsafeMutableBytes { buffer in
            var part = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
            return withUnsafeMutablePointer(to: &part) { part in
                var message = msghdr()
                message.msg_iov = part
                message.msg_iovlen = 1
                message.msg_control = control.baseAddress
                message.msg_controllen = .init(space)
                let count = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
                guard count >= 0 else { return count }
                var next = controlFirst(&message)
                while let header = next {
                    if header.pointee.cmsg_level == SOL_SOCKET, header.pointee.cmsg_type == SCM_RIGHTS {
                        let length = Int(header.pointee.cmsg_len) - Int(controlLength(0))
                        let data = UnsafeRawBufferPointer(start: controlData(header), count: length)
                        for start in stride(from: 0, to: length, by: MemoryLayout<Int32>.size) {
                            descriptors.append(data.loadUnaligned(fromByteOffset: start, as: Int32.self))
                        }
                    }
                    next = controlNext(&message, header)
                }
                return count
            }
        }
    }
    guard count >= 0 else { return nil }
    for descriptor in descriptors { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    return PassedMessage(bytes: Array(bytes.prefix(count)), descriptors: descriptors)
}
