#if os(Linux)
import Course
import Sockets

/// Twice the same number, with names of their own.
func makeStopper() throws -> Stopper {
    let counter = try check("eventfd", eventfd(0, Int32(EFD_CLOEXEC)))
    return Stopper(waitOn: counter, writeTo: counter)
}
#endif
