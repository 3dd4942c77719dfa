import Foundation
import Sockets

/// SIGTERM, or Ctrl-C, calls `stop` once, on a thread of its own. To be called before another thread is started.
func onStopSignal(_ stop: @escaping () -> Void) {
    // Blocked before anybody can send it, and taken by a thread that waits for nothing else: no signal is lost.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGTERM)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    nonisolated(unsafe) let stop = stop
    Thread.detachNewThread { [signals] in
        var awaited = signals
        var number: Int32 = 0
        sigwait(&awaited, &number)
        stop()
    }
}
