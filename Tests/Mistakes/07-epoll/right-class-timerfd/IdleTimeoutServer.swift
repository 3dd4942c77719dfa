import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    let reactor = try IdleReactor(host: host, port: port, timeout: timeout)
    defer { reactor.shutDown() }
    while true {
        // A client whose bytes are waiting behind a full list of events is not silent.
        if try reactor.turn(timeout: -1) { try reactor.closeSilent() }
        try reactor.setAlarm()
    }
}

/// The waiting is always for ever: time is a descriptor, too (timerfd_create(2)).
private final class IdleReactor: Reactor {
    private let timer: Int32
    private let patience: UInt64
    private struct Place {
        var peer: Peer
        var due: UInt64
    }
    /// In the order in which they come due; what is before `first` is done with.
    private var places: [Place] = []
    private var first = 0
    private var lastHeard: [ObjectIdentifier: UInt64] = [:]
    private var alarm: UInt64 = 0

    init(host: String, port: UInt16, timeout: Milliseconds) throws {
        let timer = try check("timerfd_create", timerfd_create(CLOCK_MONOTONIC, Int32(O_NONBLOCK | O_CLOEXEC)))
        self.timer = timer
        patience = UInt64(timeout) * 1_000_000
        do { try super.init(host: host, port: port) } catch {
            close(timer)
            throw error
        }
        try control(EPOLL_CTL_ADD, timer, EPOLLIN.rawValue)
    }

    override func joined(_ peer: Peer) {
        let now = nanoseconds()
        lastHeard[ObjectIdentifier(peer)] = now
        places.append(Place(peer: peer, due: now + patience))
    }

    override func heard(_ peer: Peer) { lastHeard[ObjectIdentifier(peer)] = nanoseconds() }

    override func drop(_ peer: Peer) {
        // Its place stays in the queue, and keeps the object (and so its identity) until its turn.
        lastHeard[ObjectIdentifier(peer)] = nil
        super.drop(peer)
    }

    override func foreign(_ fd: Int32) {
        guard fd == timer else { return }
        var times: UInt64 = 0
        _ = read(timer, &times, 8)
        alarm = 0
    }

    func closeSilent() throws {
        let now = nanoseconds()
        while first < places.count, places[first].due <= now {
            let peer = places[first].peer
            first += 1
            guard let heard = lastHeard[ObjectIdentifier(peer)] else { continue }
            if heard + patience > now {
                places.append(Place(peer: peer, due: heard + patience))
            } else {
                drop(peer)
            }
        }
        if first > 512 && first > places.count / 2 {
            places.removeFirst(first)
            first = 0
        }
    }

    func setAlarm() throws {
        // Full ticks of 10 ms, upwards: never early, and clients that came together are closed together.
        let tick: UInt64 = 10_000_000
        let due = first < places.count ? (places[first].due + tick - 1) / tick * tick : 0
        guard due != alarm else { return }
        alarm = due
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(due / 1_000_000_000)
        setting.it_value.tv_nsec = Int(due % 1_000_000_000)
        try check("timerfd_settime", timerfd_settime(timer, Int32(1 /* TFD_TIMER_ABSTIME */), &setting, nil))
    }

    override func shutDown() {
        super.shutDown()
        close(timer)
    }
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
