// A pipe to oneself, which every Unix has. Not run on macOS yet.
#if canImport(Darwin)
import Course
import Sockets

func makeStopper() throws -> Stopper {
    var ends: [Int32] = [-1, -1]
    try check("pipe", pipe(&ends))
    return Stopper(waitOn: ends[0], writeTo: ends[1])
}
#endif
