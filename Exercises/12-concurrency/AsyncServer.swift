// Exercise 12 async-server: the same service with async/await: thousands of clients, a handful of threads, none of which
// waits in a call.
//
// Calls that you need: fcntl(2) with O_NONBLOCK, DispatchSource, withCheckedContinuation, withTaskCancellationHandler,
// withThrowingDiscardingTaskGroup.
// Read: Lessons/12-concurrency/README.md#async-and-await      Check: lab check 12 async-server
import Course
import Dispatch
import Sockets

/// Runs until its task is cancelled.
///
/// - Parameter grace: how many milliseconds it may go on, once it was cancelled, for clients that do not take their answers.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    // Step 1: the listener, as in iterative-server, and non-blocking:
    //     fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)
    todo("step 1: make a listener that does not block")

    // Step 2: a function that waits without a thread:  func untilReady(_ descriptor: Int32, …) async
    //     withCheckedContinuation { continuation in … }: a DispatchSource for the descriptor, whose event handler cancels
    //     the source, and whose cancel handler resumes the continuation: exactly once, whatever happens.
    //     Around it withTaskCancellationHandler { … } onCancel: { source.cancel() }

    // Step 3: in a task group: while !Task.isCancelled: accept; EAGAIN: await untilReady. A task for each client:
    //     group.addTask { … }

    // Step 4: one client: recv; EAGAIN: await untilReady. Send all of the answer (EAGAIN: await …) before the next recv.
    //     Task.yield() in each round: a client that never pauses must not keep a thread.

    // Step 5: cancelled: the listener is closed, no client is received from any more, answers are sent to their end. An
    //     onCancel that calls shutdown(connection, SHUT_RD) makes recv return 0 after what has arrived.

    // Step 6: who has not taken its answer when grace is over: shutdown(connection, SHUT_RDWR), from a timer. (Not after the
    //     connection was closed: its number may be another's.)
}
