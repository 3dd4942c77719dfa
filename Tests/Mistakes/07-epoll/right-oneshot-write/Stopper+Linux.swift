#if os(Linux)
import Course
import Sockets

/// A pair of connected sockets: what one writes the other can read.
func makeStopper() throws -> Stopper {
    var pair: [Int32] = [-1, -1]
    try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, &pair))
    return Stopper(waitOn: pair[0], writeTo: pair[1])
}
#endif
