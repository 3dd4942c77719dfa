// A pipe to oneself, on Linux as well.
#if os(Linux)
import Course
import Sockets

func makeStopper() throws -> Stopper {
    var ends: [Int32] = [-1, -1]
    try check("pipe2", pipe2(&ends, O_NONBLOCK | O_CLOEXEC))
    return Stopper(waitOn: ends[0], writeTo: ends[1])
}
#endif
