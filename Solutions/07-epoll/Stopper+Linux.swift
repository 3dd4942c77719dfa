// eventfd(2): a number in the kernel, with a descriptor. Readable while it is not 0; both ends are one descriptor.
#if os(Linux)
import Course
import Sockets

func makeStopper() throws -> Stopper {
    let descriptor = try check("eventfd", eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)))
    return Stopper(waitOn: descriptor, writeTo: descriptor)
}
#endif
