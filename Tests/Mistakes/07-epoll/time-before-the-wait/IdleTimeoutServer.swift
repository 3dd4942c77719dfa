import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    let loop = try TimedLoop(host: host, port: port, timeout: timeout)
    defer { loop.dispose() }
    loop.updateTime()
    while true {
        try loop.waitAndDispatch()
        loop.updateTime()
        loop.closeSilent()
    }
}

func monotonicMilliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int(now.tv_sec) * 1000 + Int(now.tv_nsec) / 1_000_000
}

/// One connection; a member of a list that is ordered by when each was heard.
private final class Handle {
    let descriptor: Int32
    let client = Client()
    var lastHeard: Int
    var next: Handle?
    weak var previous: Handle?

    init(_ descriptor: Int32, heard: Int) {
        self.descriptor = descriptor
        lastHeard = heard
    }
}

private final class TimedLoop {
    private let listener: Int32
    private let timeout: Int
    private var poller: Poller
    private var handles: [Int32: Handle] = [:]
    /// Heard longest ago, and heard last.
    private var oldest: Handle?
    private var newest: Handle?
    private var buffer = makeReceiveBuffer()
    private var isFull = false
    /// The loop's own time: the clock is read once a round, and not for each client.
    private var now = 0

    init(host: String, port: UInt16, timeout: Int) throws {
        listener = try makeListener(host: host, port: port)
        self.timeout = timeout
        do { poller = try Poller() } catch {
            close(listener)
            throw error
        }
        try poller.add(listener, .init(reading: true, writing: false))
    }

    func dispose() {
        for descriptor in handles.keys { close(descriptor) }
        close(listener)
        close(poller.descriptor)
    }

    func updateTime() { now = monotonicMilliseconds() }

    func closeSilent() {
        while let handle = oldest, now - handle.lastHeard >= timeout { end(handle) }
    }

    func waitAndDispatch() throws {
        var patience = oldest.map { max(0, $0.lastHeard + timeout - now) }
        if isFull { patience = min(patience ?? 100, 100) }
        var knocks = isFull
        for event in try poller.wait(timeout: patience) {
            if event.descriptor == listener {
                knocks = true
            } else if let handle = handles[event.descriptor] {
                try dispatch(event, to: handle)
            }
        }
        if knocks { try welcome() }
    }

    private func dispatch(_ event: Poller.Event, to handle: Handle) throws {
        let client = handle.client
        if event.canRead && client.wantsToReceive && client.receive(from: handle.descriptor, using: &buffer) {
            touch(handle)
        }
        if client.wantsToSend { _ = client.send(to: handle.descriptor) }
        if client.isFinished { return end(handle) }
        let interest = Poller.Interest(reading: client.wantsToReceive, writing: client.wantsToSend)
        if interest != client.interest {
            client.interest = interest
            try poller.change(handle.descriptor, interest)
        }
    }

    private func welcome() throws {
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor):
                let handle = Handle(descriptor, heard: now)
                handles[descriptor] = handle
                append(handle)
                try poller.add(descriptor, handle.client.interest)
            case .nobody:
                if isFull { try poller.change(listener, .init(reading: true, writing: false)) }
                isFull = false
                return
            case .noRoom:
                if !isFull { try poller.change(listener, .init(reading: false, writing: false)) }
                isFull = true
                return
            }
        }
    }

    private func touch(_ handle: Handle) {
        handle.lastHeard = now
        guard newest !== handle else { return }
        remove(handle)
        append(handle)
    }

    private func end(_ handle: Handle) {
        remove(handle)
        handles[handle.descriptor] = nil
        close(handle.descriptor)
    }

    private func append(_ handle: Handle) {
        handle.previous = newest
        handle.next = nil
        newest?.next = handle
        newest = handle
        if oldest == nil { oldest = handle }
    }

    private func remove(_ handle: Handle) {
        if oldest === handle { oldest = handle.next }
        if newest === handle { newest = handle.previous }
        handle.previous?.next = handle.next
        handle.next?.previous = handle.previous
        handle.next = nil
        handle.previous = nil
    }
}
