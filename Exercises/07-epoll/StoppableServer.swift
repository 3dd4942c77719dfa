// Exercise 07 stoppable-server: end a server that waits, cleanly, from another thread.
//
// Calls that you need: those of EpollServer.swift, eventfd(2) (on macOS: pipe(2)), write(2), close(2).
// Read: Lessons/07-epoll/README.md#stopping      Check: lab check 07 stoppable-server
import Course
import Sockets

/// Something that one thread can write to and another can wait for in epoll.
///
/// - Returns: for an eventfd, the same descriptor twice; for a pipe, its reading and its writing end.
func makeStopper() throws -> Stopper {
    // Step 1: eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    todo("step 1: make an eventfd")
}

/// Makes `stopper.waitOn` readable. Called from another thread.
func requestStop(_ stopper: Stopper) {
    // Step 2: write 8 bytes, the number 1 as a UInt64, to `stopper.writeTo`.
    todo("step 2: write to the eventfd")
}

/// Serves as `epollServer` does, until stop is requested. Then it takes no more clients, receives nothing more, sends what
/// is pending (for at most a second), closes everything that it opened, and returns. The stopper is the caller's.
func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    // Step 3: add `stopper.waitOn` to the descriptors that epoll waits for.
    todo("step 3: wait for the stopper, too")

    // Step 4: when it is readable: close the listener; close the clients with nothing pending; serve the others until
    //     nothing is pending; return.
}
