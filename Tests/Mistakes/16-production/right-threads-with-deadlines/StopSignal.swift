import Course
import Sockets

func stopDescriptor() throws -> Int32 {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    // The threads that are started later inherit the mask: the signal is only for the descriptor.
    let code = pthread_sigmask(SIG_BLOCK, &signals, nil)
    guard code == 0 else { throw SocketError("pthread_sigmask", code) }
    return try check("signalfd", signalfd(-1, &signals, Int32(SFD_CLOEXEC | SFD_NONBLOCK)))
}
