import Foundation
import Sockets

func forkServer(host: String, port: UInt16) throws {
    // The kernel is told not to keep those who have ended: no handler, nothing interrupted.
    var action = sigaction()
    action.__sigaction_handler.sa_handler = SIG_DFL
    action.sa_flags = SA_NOCLDWAIT | SA_RESTART
    try check("sigaction", sigaction(SIGCHLD, &action, nil))

    let listener = try Listener(host, port)
    try listener.forEach { guest in
        if forkProcess() != 0 { return guest.leave() }
        close(listener.number)
        guest.serve()
        _exit(0)
    }
}
