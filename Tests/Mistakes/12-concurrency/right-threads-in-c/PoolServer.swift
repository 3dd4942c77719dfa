import Course
import Foundation
import Sockets

/// In C's way: a mutex, two conditions, a ring.
private final class Ring {
    var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    var changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    var waiting: [Int32] = []
    var served: Set<Int32> = []
    var running = 0
    var stopped = false

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
    }

    func locked<R>(_ body: () throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body()
    }
}

private func upcase(_ client: Int32) { shout(client) }

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    var listening: Listening? = try Listening(host, port)
    let listener = listening!.fd
    _ = fcntl(listener, F_SETFL, O_NONBLOCK)
    let ring = Ring()

    ring.running = limits.threads
    for _ in 0..<limits.threads {
        Thread.detachNewThread {
            while true {
                let client: Int32? = ring.locked {
                    while ring.waiting.isEmpty && !ring.stopped { pthread_cond_wait(ring.changed, ring.mutex) }
                    guard !ring.waiting.isEmpty else { return nil }
                    let first = ring.waiting.removeFirst()
                    ring.served.insert(first)
                    pthread_cond_broadcast(ring.changed)
                    return first
                }
                guard let client else { break }
                upcase(client)
                ring.locked {
                    ring.served.remove(client)
                    close(client)
                }
            }
            ring.locked {
                ring.running -= 1
                pthread_cond_broadcast(ring.changed)
            }
        }
    }

    // Watches for the stop.
    Thread.detachNewThread {
        var p = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        while poll(&p, 1, -1) < 1 {}
        ring.locked {
            ring.stopped = true
            pthread_cond_broadcast(ring.changed)
        }
    }

    accepting: while true {
        let isStopped = ring.locked {
            while ring.waiting.count >= limits.queue && !ring.stopped { pthread_cond_wait(ring.changed, ring.mutex) }
            return ring.stopped
        }
        if isStopped { break }
        var set = [
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
            pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        if poll(&set, 2, -1) < 0 { continue }
        if set[1].revents != 0 { break accepting }
        let client = accept(listener, nil, nil)
        if client >= 0 {
            ring.locked {
                ring.waiting.append(client)
                pthread_cond_broadcast(ring.changed)
            }
        } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
            poll(&set[1], 1, 50)
        }
    }

    listening = nil
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    end.tv_sec += limits.grace / 1000
    end.tv_nsec += limits.grace % 1000 * 1_000_000
    if end.tv_nsec >= 1_000_000_000 {
        end.tv_sec += 1
        end.tv_nsec -= 1_000_000_000
    }
    ring.locked {
        ring.stopped = true
        for client in ring.waiting + Array(ring.served) { shutdown(client, CInt(SHUT_RD)) }
        pthread_cond_broadcast(ring.changed)
        while ring.running > 0 {
            if pthread_cond_timedwait(ring.changed, ring.mutex, &end) == ETIMEDOUT { break }
        }
        for client in ring.waiting + Array(ring.served) { shutdown(client, CInt(SHUT_RDWR)) }
        while ring.running > 0 { pthread_cond_wait(ring.changed, ring.mutex) }
    }
}
