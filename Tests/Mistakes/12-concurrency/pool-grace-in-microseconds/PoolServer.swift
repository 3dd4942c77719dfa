import Course
import Foundation
import Sockets

/// Everything that the threads have in common, under one mutex.
private final class Common {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    let bound: Int
    var ring: [Int32]
    var head = 0
    var filled = 0
    var active = Set<Int32>()
    var stopping = false

    init(bound: Int) {
        self.bound = bound
        ring = [Int32](repeating: -1, count: bound)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(changed, nil)
    }

    func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func sleep() { pthread_cond_wait(changed, mutex) }

    func wakeAll() { pthread_cond_broadcast(changed) }
}

nonisolated(unsafe) private var common: Common!
nonisolated(unsafe) private var stopDescriptor: Int32 = -1
nonisolated(unsafe) private var grace: Milliseconds = 0

private func start(_ body: @escaping @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?) throws
    -> pthread_t
{
    var thread = pthread_t()
    let error = pthread_create(&thread, nil, body, nil)
    guard error == 0 else { throw SocketError("pthread_create", error) }
    return thread
}

private func serveForever(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    while true {
        let connection: Int32 = common.locked {
            while common.filled == 0 && !common.stopping { common.sleep() }
            if common.filled == 0 { return -1 }
            let first = common.ring[common.head]
            common.head = (common.head + 1) % common.bound
            common.filled -= 1
            common.wakeAll()
            return first
        }
        if connection < 0 { return nil }
        serve(connection)
        common.locked {
            common.active.remove(connection)
            close(connection)
        }
    }
}

private func hearStop(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    var wanted = pollfd(fd: stopDescriptor, events: Int16(POLLIN), revents: 0)
    while poll(&wanted, 1, -1) <= 0 {}
    common.locked {
        common.stopping = true
        for connection in common.active { shutdown(connection, SHUT_RD) }
        common.wakeAll()
    }
    return nil
}

/// Whoever has not taken its answer by now does not want it.
private func endGrace(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    usleep(useconds_t(grace))
    common.locked { for connection in common.active { shutdown(connection, SHUT_RDWR) } }
    return nil
}

func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    common = Common(bound: limits.queue)
    stopDescriptor = stop
    grace = limits.grace
    let listener = try makeListener(host: host, port: port)
    var threads: [pthread_t] = []
    do {
        for _ in 0..<limits.threads { threads.append(try start(serveForever)) }
        pthread_detach(try start(hearStop))
        while true {
            let goOn: Bool = common.locked {
                while common.filled == common.bound && !common.stopping { common.sleep() }
                return !common.stopping
            }
            if !goOn { break }
            var ready = [listener, stop].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&ready, nfds_t(ready.count), -1) < 0 { continue }
            if ready[1].revents != 0 { break }
            let connection = try acceptClient(listener)
            common.locked {
                common.ring[(common.head + common.filled) % common.bound] = connection
                common.filled += 1
                common.active.insert(connection)
                if common.stopping { shutdown(connection, SHUT_RD) }
                common.wakeAll()
            }
        }
    } catch {
        close(listener)
        throw error
    }
    close(listener)
    common.locked {
        common.stopping = true
        for connection in common.active { shutdown(connection, SHUT_RD) }
        common.wakeAll()
    }
    pthread_detach(try start(endGrace))
    for thread in threads { pthread_join(thread, nil) }
}
