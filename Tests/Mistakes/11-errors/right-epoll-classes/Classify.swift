import Course
import Sockets

func classify(code: Int32, isConnected: Bool) throws -> ErrorAdvice {
    switch (code, isConnected) {
    case (EINTR, _): .callAgain
    case (EWOULDBLOCK, _), (EINPROGRESS, _), (EALREADY, _): .waitUntilReady
    case (ETIMEDOUT, true), (EHOSTUNREACH, true), (ENETUNREACH, true), (ECONNRESET, true), (ECONNABORTED, true),
        (EPIPE, _):
        .peerIsGone
    case (ETIMEDOUT, _), (EHOSTUNREACH, _), (ENETUNREACH, _), (ECONNRESET, _), (ECONNABORTED, _), (ECONNREFUSED, _),
        (ENETDOWN, _), (EMFILE, _), (ENFILE, _), (ENOBUFS, _), (ENOMEM, _):
        .tryLater
    case (EADDRINUSE, _), (EADDRNOTAVAIL, _), (EACCES, _), (EPERM, _), (EAFNOSUPPORT, _): .wrongAddress
    case (EBADF, _), (EINVAL, _), (ENOTSOCK, _), (EFAULT, _), (EISCONN, _), (ENOTCONN, _), (EOPNOTSUPP, _),
        (EPROTONOSUPPORT, _), (ENOPROTOOPT, _), (EMSGSIZE, _), (EDESTADDRREQ, _):
        .wrongProgram
    default: .unknown
    }
}
