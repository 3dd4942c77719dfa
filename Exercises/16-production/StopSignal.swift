// Exercise 16 stop-signal: SIGTERM as something that poll can wait for.
//
// Calls that you need: pipe(2), sigaction(2), write(2), fcntl(2); or, on Linux, signalfd(2) with pthread_sigmask(3).
// Read: Lessons/16-production/README.md#a-signal-that-poll-can-see
// Check: lab check 16 stop-signal
import Course
import Sockets

/// Called once, before a server starts.
///
/// - Returns: a descriptor that becomes readable when SIGTERM or SIGINT comes, and stays so: several threads poll it, and
///   nobody reads it.
/// - Throws: `SocketError` if there is none to be had.
func stopDescriptor() throws -> Int32 {
    // Step 1: a pipe. Its writing end must be known to the handler, which is a C function: a global variable.
    todo("step 1: pipe")

    // Step 2: a handler for SIGTERM and SIGINT that writes one byte into the pipe; it must not wait when the pipe is full,
    // and errno must be afterwards what it was before.
    //     var action = sigaction()
    //     action.__sigaction_handler.sa_handler = { _ in … }
    // todo("step 2: sigaction")

    // Step 3: return the end that can be polled.
    // todo("step 3: the reading end")
}
