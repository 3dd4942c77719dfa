#if os(Linux)
import Course
import Sockets

/// A pipe to oneself, as before there were eventfds. It is never read: readable once is readable for good.
func makeStopper() throws -> Stopper {
    var ends: [Int32] = [-1, -1]
    try check("pipe2", pipe2(&ends, Int32(O_CLOEXEC | O_NONBLOCK)))
    return Stopper(waitOn: ends[0], writeTo: ends[1])
}
#endif
