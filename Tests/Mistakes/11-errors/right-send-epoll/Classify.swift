import Course
import Sockets

/// The table of the lesson, turned round: who has said what, by number.
func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    let rows: [(ErrorAdvice, [Int32])] = [
        (.callAgain, [EINTR]),
        (.waitUntilReady, [EAGAIN, EWOULDBLOCK, EINPROGRESS, EALREADY]),
        (.tryLater, [ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM]),
        (isConnected ? .peerIsGone : .tryLater, [ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ECONNABORTED]),
        (.peerIsGone, [EPIPE]),
        (.wrongAddress, [EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT]),
        (.wrongProgram, [EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP]),
        (.wrongProgram, [EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE, EDESTADDRREQ]),
    ]
    return rows.first { $0.1.contains(code) }?.0 ?? .unknown
}
