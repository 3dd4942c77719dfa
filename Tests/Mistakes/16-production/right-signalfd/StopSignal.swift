import CSockets
import Course
import Sockets

func stopDescriptor() throws -> Int32 {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    // Threads that are started later inherit it.
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    return try check("signalfd", signalfd(-1, &signals, Int32(SFD_CLOEXEC)))
}
