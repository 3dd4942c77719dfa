import Course
import Sockets

/// By what can be done, not by where it came from: whoever calls has to choose between these, and no others.
func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    switch code {
    case EINTR:
        return .callAgain

    // EWOULDBLOCK is the same number as EAGAIN on Linux and macOS. EALREADY is what a second connect says of the first.
    case EAGAIN, EINPROGRESS, EALREADY:
        return .waitUntilReady

    case EPIPE:
        return .peerIsGone

    // The same numbers mean two things. While connecting, nobody has answered (yet). Once connected, somebody was there and
    // is not any more: the kernel has given up this connection, and no call on it will work again.
    case ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH:
        return isConnected ? .peerIsGone : .tryLater

    // Nobody listens yet; the interface is down; this process, or the machine, has no descriptor or memory to spare.
    case ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM:
        return .tryLater

    // EACCES and EPERM: a port below 1024, a broadcast address, a firewall that forbids it.
    case EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT:
        return .wrongAddress

    case EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP, EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE,
        EDESTADDRREQ:
        return .wrongProgram

    default:
        return .unknown
    }
}
