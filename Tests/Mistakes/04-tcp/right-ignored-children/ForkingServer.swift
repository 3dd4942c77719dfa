import Course
import Sockets

func forkingServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    // The kernel reaps them itself (POSIX.1-2001).
    signal(SIGCHLD, SIG_IGN)
    while true {
        let connection = try acceptClient(listener)
        let child = forkProcess()
        if child == 0 {
            close(listener)
            serve(connection)
            _exit(0)
        }
        close(connection)
    }
}
