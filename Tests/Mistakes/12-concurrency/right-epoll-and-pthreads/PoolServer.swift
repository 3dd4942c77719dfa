import Course
import Sockets

/// One poll hears everything: the stop, the door (only while there is room), and that a place has become free.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try openListener(host, port, SOCK_NONBLOCK)
    let bell = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
    guard bell >= 0 else {
        let error = SocketError("eventfd", errno)
        close(listener)
        throw error
    }
    let crew = Crew(limits, bell)
    var failure: SocketError?
    evening: while true {
        var heard = [stop, bell].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        if crew.hasRoom { heard.append(pollfd(fd: listener, events: Int16(POLLIN), revents: 0)) }
        if poll(&heard, nfds_t(heard.count), -1) < 0 {
            if errno == EINTR { continue }
            failure = SocketError("poll", errno)
            break
        }
        if heard[0].revents != 0 { break }
        if heard[1].revents != 0 {
            var rings: UInt64 = 0
            _ = read(bell, &rings, 8)
        }
        guard heard.count == 3, heard[2].revents != 0 else { continue }
        switch acceptOnce(listener) {
        case .connection(let fd): crew.take(fd)
        case .nobody, .notYet: break
        case .noRoom: poll(&heard, 1, 50)
        case .failure(let error):
            failure = error
            break evening
        }
    }
    close(listener)
    crew.goHome()
    close(bell)
    if let failure { throw failure }
}

private final class Crew: @unchecked Sendable {
    private let limits: PoolLimits
    private let bell: Int32
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let work = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let gone = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var queue: [Int32] = []
    private var present: Set<Int32> = []
    private var threads = 0
    private var isClosing = false

    init(_ limits: PoolLimits, _ bell: Int32) {
        (self.limits, self.bell) = (limits, bell)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(work, nil)
        var steady = pthread_condattr_t()
        pthread_condattr_init(&steady)
        pthread_condattr_setclock(&steady, CLOCK_MONOTONIC)
        pthread_cond_init(gone, &steady)
        pthread_condattr_destroy(&steady)
        for _ in 0..<limits.threads {
            locked { threads += 1 }
            if !startThread({ self.run() }) { locked { threads -= 1 } }
        }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    var hasRoom: Bool { locked { queue.count < limits.queue } }

    func take(_ fd: Int32) {
        locked {
            queue.append(fd)
            present.insert(fd)
            pthread_cond_broadcast(work)
        }
    }

    private func run() {
        while let fd = next() {
            answer(fd)
            locked {
                present.remove(fd)
                close(fd)
            }
        }
        locked {
            threads -= 1
            pthread_cond_broadcast(gone)
        }
    }

    private func next() -> Int32? {
        locked {
            while queue.isEmpty && !isClosing { pthread_cond_wait(work, mutex) }
            if queue.isEmpty { return nil }
            let fd = queue.removeFirst()
            var one: UInt64 = 1
            _ = write(bell, &one, 8)
            return fd
        }
    }

    func goHome() {
        locked {
            isClosing = true
            for fd in present { shutdown(fd, SHUT_RD) }
            pthread_cond_broadcast(work)
            var end = timespec()
            clock_gettime(CLOCK_MONOTONIC, &end)
            end.tv_sec += limits.grace / 1000
            end.tv_nsec += limits.grace % 1000 * 1_000_000
            if end.tv_nsec >= 1_000_000_000 {
                end.tv_nsec -= 1_000_000_000
                end.tv_sec += 1
            }
            while threads > 0 {
                if pthread_cond_timedwait(gone, mutex, &end) == ETIMEDOUT { break }
            }
            for fd in present { shutdown(fd, SHUT_RDWR) }
            while threads > 0 { pthread_cond_wait(gone, mutex) }
        }
    }
}
