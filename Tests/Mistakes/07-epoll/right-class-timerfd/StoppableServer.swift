import Course
import Sockets

func stoppableServer(host: String, port: UInt16, stopper: Stopper) throws {
    let reactor = try StoppableReactor(host: host, port: port)
    defer { reactor.shutDown() }
    try reactor.watch(stopper)
    while !reactor.isStopped { try reactor.turn(timeout: -1) }

    try reactor.finishUp()
    let end = nanoseconds() + 1_000_000_000
    while !reactor.peers.isEmpty {
        let now = nanoseconds()
        if now >= end { break }
        try reactor.turn(timeout: Int32((end - now + 999_999) / 1_000_000))
    }
}

/// May be called from any thread, and in a signal handler.
func requestStop(_ stopper: Stopper) {
    let saved = errno
    var one: UInt64 = 1
    while write(stopper.writeTo, &one, MemoryLayout<UInt64>.size) < 0 && errno == EINTR {}
    errno = saved
}

private final class StoppableReactor: Reactor {
    private(set) var isStopped = false
    private var stopper: Int32 = -1

    func watch(_ stopper: Stopper) throws {
        self.stopper = stopper.waitOn
        try control(EPOLL_CTL_ADD, stopper.waitOn, EPOLLIN.rawValue)
    }

    override func foreign(_ fd: Int32) {
        if fd == stopper { isStopped = true }
    }

    func finishUp() throws {
        closeListener()
        // It stays readable, and would be reported in every round.
        try control(EPOLL_CTL_DEL, stopper, 0)
        for peer in Array(peers.values) {
            // Nothing more is read: as if it had ended.
            peer.ended = true
            try refresh(peer)
        }
    }
}
