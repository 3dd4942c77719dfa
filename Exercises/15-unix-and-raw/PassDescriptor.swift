// Exercise 15 pass-descriptor: give an open descriptor to another process.
//
// Calls that you need: sendmsg(2), recvmsg(2), cmsg(3), close(2). From CSockets, which comes with `import Sockets`:
// controlSpace (CMSG_SPACE), controlLength (CMSG_LEN), controlFirst, controlNext, controlData.
// DescriptorError is in Sources/Course/Lesson15.swift.
// Read: Lessons/15-unix-and-raw/README.md#passing-a-descriptor      Check: lab check 15 pass-descriptor
import Course
import Sockets

/// Sends a copy of `descriptor` beside exactly one byte. Both descriptors stay open: they are the caller's.
///
/// - Throws: `SocketError` (`EPIPE` if the peer is gone, `EBADF` if `descriptor` is not open).
func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    // Step 1: room for the ancillary data, zeroed: controlSpace(4) bytes. A msghdr with an iovec of one byte, msg_control and
    //     msg_controllen.
    todo("step 1: a message with one byte and room for a header")

    // Step 2: the header at controlFirst: cmsg_level SOL_SOCKET, cmsg_type SCM_RIGHTS, cmsg_len controlLength(4); the
    //     descriptor at controlData.

    // Step 3: sendmsg, with MSG_NOSIGNAL; again after EINTR.
}

/// Receives one byte, and the one descriptor that comes beside it: close-on-exec, and the caller's from now on.
///
/// - Throws: `DescriptorError.ended` at the end of the stream, `.missing` if no descriptor came, `.unwanted` if several
///   came or something was cut off (MSG_CTRUNC). Then every descriptor that came is closed.
func receiveDescriptor(from socket: Int32) throws -> Int32 {
    // Step 4: recvmsg with an iovec of one byte, and room for more descriptors than you want. MSG_CMSG_CLOEXEC.
    todo("step 4: receive a byte and what is beside it")

    // Step 5: every header with SOL_SOCKET and SCM_RIGHTS, from controlFirst with controlNext: it holds
    //     (cmsg_len - controlLength(0)) / 4 descriptors.

    // Step 6: exactly one, and no MSG_CTRUNC in msg_flags: return it. Else close all of them, and throw.
}
