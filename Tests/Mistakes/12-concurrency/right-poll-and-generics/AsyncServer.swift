import Course
import Foundation
import Sockets

/// Tasks, and one thread in poll that knows what they all wait for.
@Sendable func asyncServer(host: String, port: UInt16, grace: Milliseconds) async throws {
    let door = try open(host, port)
    let watch: Watch
    do { watch = try Watch() } catch {
        close(door)
        throw error
    }
    defer { watch.stop() }
    await withTaskCancellationHandler {
        await withDiscardingTaskGroup { group in
            while !watch.isCancelled {
                let guest = accept4(door, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
                if guest >= 0 {
                    watch.enter(guest)
                    group.addTask {
                        await chat(guest, watch)
                        watch.leave(guest)
                    }
                    await Task.yield()
                    continue
                }
                switch errno {
                case EAGAIN: await watch.wait(door, POLLIN, atMost: nil)
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: await watch.wait(-1, 0, atMost: 50)
                case EBADF, EINVAL, EFAULT, ENOTSOCK, EOPNOTSUPP: watch.fail(SocketError("accept4", errno))
                default: break
                }
            }
            close(door)
            watch.hush(grace)
        }
    } onCancel: {
        watch.cancel()
    }
    if let failure = watch.failure { throw failure }
}

private func chat(_ guest: Int32, _ watch: Watch) async {
    var conversation = Conversation(guest)
    while true {
        switch conversation.advance() {
        case .nothing: await Task.yield()
        case .input: await watch.wait(guest, POLLIN, atMost: nil)
        case .room: await watch.wait(guest, POLLOUT, atMost: nil)
        case .end: return
        }
    }
}

/// Only its thread resumes what waits, and only after poll has come back: so no descriptor is closed while poll has it.
private final class Watch: @unchecked Sendable {
    private struct Waiting {
        let descriptor: Int32
        let events: Int16
        let end: ContinuousClock.Instant?
        let continuation: CheckedContinuation<Void, Never>
    }

    private let lock = NSLock()
    private let bell: Int32
    private var waiting: [Waiting] = []
    private var guests: Set<Int32> = []
    private var lastOrders: ContinuousClock.Instant?
    private var cancelled = false
    private var stopped = false
    private var error: SocketError?

    init() throws {
        bell = try check("eventfd", eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC)))
        Thread.detachNewThread { self.run() }
    }

    var isCancelled: Bool { lock.withLock { cancelled } }
    var failure: SocketError? { lock.withLock { error } }

    func wait(_ descriptor: Int32, _ events: Int32, atMost time: Milliseconds?) async {
        let end = time.map { ContinuousClock.now + .milliseconds($0) }
        await withCheckedContinuation { continuation in
            lock.withLock {
                waiting.append(
                    Waiting(descriptor: descriptor, events: Int16(events), end: end, continuation: continuation))
                ring()
            }
        }
    }

    func enter(_ guest: Int32) { lock.withLock { _ = guests.insert(guest) } }

    func leave(_ guest: Int32) {
        lock.withLock {
            guests.remove(guest)
            _ = close(guest)
        }
    }

    /// The accepting task is to look up from what it waits for.
    func cancel() {
        lock.withLock {
            cancelled = true
            ring()
        }
    }

    func fail(_ error: SocketError) {
        lock.withLock {
            self.error = error
            cancelled = true
        }
    }

    func hush(_ grace: Milliseconds) {
        lock.withLock {
            for guest in guests { shutdown(guest, SHUT_RD) }
            lastOrders = .now + .milliseconds(grace)
            ring()
        }
    }

    func stop() {
        lock.withLock {
            stopped = true
            ring()
        }
    }

    private func ring() {
        if stopped && bellIsGone { return }
        var one: UInt64 = 1
        _ = write(bell, &one, 8)
    }

    private var bellIsGone = false

    private func run() {
        while true {
            var descriptors: [pollfd] = []
            var round: [Waiting] = []
            var patience: Int32 = -1
            let goOn = lock.withLock { () -> Bool in
                if stopped {
                    bellIsGone = true
                    close(bell)
                    return false
                }
                let now = ContinuousClock.now
                if let time = lastOrders, time <= now {
                    lastOrders = nil
                    for guest in guests { shutdown(guest, SHUT_RDWR) }
                }
                // What waits is ours until we are back; what comes meanwhile is added, and rings.
                round = waiting
                waiting = []
                let ends = round.compactMap(\.end) + [lastOrders].compactMap { $0 }
                if let first = ends.min() {
                    patience = Int32(clamping: Int64(max(.zero, first - now) / .milliseconds(1)) + 1)
                }
                return true
            }
            if !goOn { return }
            descriptors = [pollfd(fd: bell, events: Int16(POLLIN), revents: 0)]
            descriptors += round.map { pollfd(fd: $0.descriptor, events: $0.events, revents: 0) }
            let count = poll(&descriptors, nfds_t(descriptors.count), patience)
            if count > 0 && descriptors[0].revents != 0 {
                var rings: UInt64 = 0
                _ = read(bell, &rings, 8)
            }
            let now = ContinuousClock.now
            let wakeAcceptor = isCancelled
            var rest: [Waiting] = []
            for (one, polled) in zip(round, descriptors.dropFirst()) {
                let isReady = count > 0 && polled.revents != 0
                let isLate = one.end.map { $0 <= now } ?? false
                // Only the accepting task waits for something that is not a guest.
                let isAcceptor = wakeAcceptor && !lock.withLock { guests.contains(one.descriptor) }
                if isReady || isLate || isAcceptor { one.continuation.resume() } else { rest.append(one) }
            }
            lock.withLock { waiting.insert(contentsOf: rest, at: 0) }
        }
    }
}
