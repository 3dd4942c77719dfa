import Course
import Foundation
import Sockets

/// Channels in place of locks. The queue is a pipe, and what goes through it are the numbers of connections; the places in the
/// queue are a pipe, too, and who takes a token from it may accept. A connection has one owner at each moment, and only its
/// owner shuts it down or closes it. That the pool stops is a descriptor that becomes readable and stays so, for all.
func poolServer(host: String, port: UInt16, limits: PoolLimits, stop: Int32) throws {
    let listener = try makeListener(host: host, port: port)
    var isListening = true
    func endListening() {
        if isListening { close(listener) }
        isListening = false
    }
    defer { endListening() }
    // A connection may be gone when we accept it; then accept is not to wait for the next one.
    _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK)

    let queue = try Channel()
    defer { queue.close() }
    let places = try Channel()
    defer { places.close() }
    let halt = try Halt()
    defer { halt.close() }
    for place in 0..<Int32(limits.queue) { places.write(place) }

    var workers: [pthread_t] = []
    // From here on every way out passes here: nobody new, then the workers are told, and then waited for.
    defer {
        endListening()
        halt.call(grace: limits.grace)
        queue.endWriting()
        for worker in workers { pthread_join(worker, nil) }
    }
    for _ in 0..<limits.threads { workers.append(try start(Worker(queue: queue, places: places, halt: halt))) }

    while true {
        guard readable([places.output, stop], timeout: -1)[1] == false else { return }
        guard places.read() != nil else { return }
        var connection: Int32 = -1
        while connection < 0 {
            let ready = readable([listener, stop], timeout: -1)
            if ready[1] { return }
            connection = accept(listener, nil, nil)
            if connection >= 0 { break }
            switch errno {
            case EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: if readable([stop], timeout: 50)[0] { return }
            case let other: throw SocketError("accept", other)
            }
        }
        queue.write(connection)
    }
}

/// Which of these are readable, or broken. All false when the time is over.
private func readable(_ descriptors: [Int32], timeout: Int32) -> [Bool] {
    var waited = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    while poll(&waited, nfds_t(waited.count), timeout) < 0 {
        // Interrupted: a wait with an end is only a little longer then.
    }
    return waited.map { $0.revents != 0 }
}

/// A pipe for numbers, four bytes each.
private final class Channel: @unchecked Sendable {
    let output: Int32
    private let input: Int32
    private var isWritable = true
    /// Whoever reads has its turn until it has a whole number; so has who writes.
    private let reading = NSLock()
    private let writing = NSLock()

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        (output, input) = (ends[0], ends[1])
    }

    func write(_ number: Int32) {
        writing.lock()
        defer { writing.unlock() }
        withUnsafeBytes(of: number) { bytes in
            var done = 0
            while done < bytes.count {
                let count = Sockets.write(input, bytes.baseAddress! + done, bytes.count - done)
                if count < 0 && errno != EINTR { return }
                done += max(count, 0)
            }
        }
    }

    /// Waits for a number; nil when there are no more, and nobody will write any.
    func read() -> Int32? {
        reading.lock()
        defer { reading.unlock() }
        var number: Int32 = 0
        let isWhole = withUnsafeMutableBytes(of: &number) { bytes in
            var done = 0
            while done < bytes.count {
                let count = Sockets.read(output, bytes.baseAddress! + done, bytes.count - done)
                if count < 0 && errno == EINTR { continue }
                if count <= 0 { return false }
                done += count
            }
            return true
        }
        return isWhole ? number : nil
    }

    /// Called by one thread only, the one that made it.
    func endWriting() {
        if isWritable { Sockets.close(input) }
        isWritable = false
    }

    func close() {
        endWriting()
        Sockets.close(output)
    }
}

/// The stop: readable once it has been called, with the time at which all must be over.
private final class Halt: @unchecked Sendable {
    let descriptor: Int32
    private let lock = NSLock()
    private var end: Int?

    init() throws { descriptor = try check("eventfd", eventfd(0, 0)) }

    func call(grace: Milliseconds) {
        lock.withLock { end = now() + grace }
        var one: UInt64 = 1
        while write(descriptor, &one, 8) < 0 && errno == EINTR {}
    }

    /// How many milliseconds a send may wait; -1 is as long as it takes.
    var left: Int32 {
        lock.withLock {
            guard let end else { return -1 }
            return Int32(clamping: max(0, end - now()))
        }
    }

    func close() { Sockets.close(descriptor) }
}

private func now() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

private func start(_ worker: Worker) throws -> pthread_t {
    var thread = pthread_t()
    let argument = Unmanaged.passRetained(worker)
    let error = pthread_create(
        &thread, nil,
        { argument in
            Unmanaged<Worker>.fromOpaque(argument!).takeRetainedValue().work()
            return nil
        }, argument.toOpaque())
    guard error == 0 else {
        argument.release()
        throw SocketError("pthread_create", error)
    }
    return thread
}

private final class Worker {
    private let queue: Channel
    private let places: Channel
    private let halt: Halt
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 16_384, alignment: 1)

    init(queue: Channel, places: Channel, halt: Halt) {
        self.queue = queue
        self.places = places
        self.halt = halt
    }

    deinit { buffer.deallocate() }

    func work() {
        while let connection = queue.read() {
            places.write(0)
            talk(connection)
            close(connection)
        }
    }

    private func talk(_ connection: Int32) {
        var isHalted = false
        while true {
            if !isHalted && readable([connection, halt.descriptor], timeout: -1)[1] {
                isHalted = true
                // Our own connection, so it is open. From now on recv gives what has arrived, and then 0.
                shutdown(connection, SHUT_RD)
            }
            let count = recv(connection, buffer.baseAddress, buffer.count, MSG_DONTWAIT)
            if count < 0 && (errno == EINTR || errno == EAGAIN && !isHalted) { continue }
            guard count > 0 else { return }
            for index in 0..<count { buffer[index] = uppercase(buffer[index]) }
            guard answer(connection, count) else { return }
        }
    }

    private func answer(_ connection: Int32, _ count: Int) -> Bool {
        var sent = 0
        while sent < count {
            // Who reads fast and never ends its side has no more time than who reads nothing.
            if halt.left == 0 { return false }
            let more = send(connection, buffer.baseAddress! + sent, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            if more >= 0 {
                sent += more
                continue
            }
            if errno == EINTR { continue }
            guard errno == EAGAIN, waitForRoom(connection) else { return false }
        }
        return true
    }

    /// False when grace is over. Before the stop it waits for the stop as well, for then its time begins to run.
    private func waitForRoom(_ connection: Int32) -> Bool {
        while true {
            let left = halt.left
            if left == 0 { return false }
            var waited = [pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)]
            if left < 0 { waited.append(pollfd(fd: halt.descriptor, events: Int16(POLLIN), revents: 0)) }
            _ = poll(&waited, nfds_t(waited.count), left)
            if waited[0].revents != 0 { return true }
        }
    }
}
