// A copy of a descriptor for another process: SCM_RIGHTS, unix(7), cmsg(3).
import Sockets

/// Sends bytes over a Unix socket without waiting, and with the first of them copies of `descriptors`.
///
/// - Returns: as send(2): how many bytes went, or -1 with errno.
func sendPassing(_ descriptors: [Int32], _ bytes: UnsafeRawBufferPointer, to socket: Int32) -> Int {
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
