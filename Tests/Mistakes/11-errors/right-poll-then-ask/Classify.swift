import Course
import Sockets

func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    if code == EINTR { return .callAgain }
    if code.isOne(of: EAGAIN, EWOULDBLOCK, EINPROGRESS, EALREADY) { return .waitUntilReady }
    if code.isOne(of: ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ECONNABORTED) {
        return isConnected ? .peerIsGone : .tryLater
    }
    if code == EPIPE { return .peerIsGone }
    if code.isOne(of: ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM) { return .tryLater }
    if code.isOne(of: EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT) { return .wrongAddress }
    if code.isOne(of: EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP) { return .wrongProgram }
    if code.isOne(of: EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE, EDESTADDRREQ) { return .wrongProgram }
    return .unknown
}

extension Int32 {
    fileprivate func isOne(of codes: Int32...) -> Bool { codes.contains(self) }
}
