import Course
import Sockets

func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    switch code {
    case EAGAIN, EINPROGRESS, EALREADY:
        return .waitUntilReady

    case EPIPE:
        return .peerIsGone

    case ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH:
        return isConnected ? .peerIsGone : .tryLater

    case ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM:
        return .tryLater

    case EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT:
        return .wrongAddress

    case EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP, EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE,
        EDESTADDRREQ:
        return .wrongProgram

    default:
        return .unknown
    }
}
