import Sockets

/// While there are children the wait for guests is at most a second, and after each wait the dead are counted.
func forkServer(host: String, port: UInt16) throws {
    let door = try open(host, port)
    defer { close(door) }
    var children: Set<pid_t> = []
    while true {
        let guest = try admit(door, children.isEmpty ? -1 : 300)
        var dead: pid_t
        repeat {
            dead = children.isEmpty ? 0 : waitpid(-1, nil, WNOHANG)
            children.remove(dead)
        } while dead > 0
        guard let guest else { continue }
        let child = forkProcess()
        if child == 0 {
            close(door)
            talk(guest)
            _exit(0)
        }
        if child > 0 { children.insert(child) }
        close(guest)
    }
}
