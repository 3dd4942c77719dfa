import Course
import Sockets

func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    switch code {
    case EINTR: return .callAgain
    case EAGAIN, EINPROGRESS, EALREADY: return .waitUntilReady
    case EPIPE: return .peerIsGone
    case ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH:
        return isConnected ? .peerIsGone : .tryLater
    default: return .tryLater
    }
}
