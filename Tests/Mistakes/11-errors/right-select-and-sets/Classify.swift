import Course
import Sockets

private let passing: Set<Int32> = [ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM]
private let either: Set<Int32> = [ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH]
private let address: Set<Int32> = [EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT]
private let ours: Set<Int32> = [
    EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP, EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE,
    EDESTADDRREQ,
]

func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    if code == EINTR { return .callAgain }
    if [EAGAIN, EWOULDBLOCK, EINPROGRESS, EALREADY].contains(code) { return .waitUntilReady }
    if either.contains(code) { return isConnected ? .peerIsGone : .tryLater }
    if passing.contains(code) { return .tryLater }
    if code == EPIPE { return .peerIsGone }
    if address.contains(code) { return .wrongAddress }
    return ours.contains(code) ? .wrongProgram : .unknown
}
