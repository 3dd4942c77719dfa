import Course
import Sockets

func forkServer(host: String, port: UInt16) throws {
    let listening = try Listening(host, port)
    // The kernel reaps them itself (sigaction(2), SIGCHLD).
    signal(SIGCHLD, SIG_IGN)
    while true {
        let client = try listening.next()
        switch forkProcess() {
        case 0:
            close(listening.fd)
            shout(client)
            close(client)
            _exit(0)
        case -1: close(client)
        default: close(client)
        }
    }
}
