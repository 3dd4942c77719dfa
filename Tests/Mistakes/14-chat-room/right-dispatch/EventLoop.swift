import Course
import Dispatch
import Sockets

/// One connection, watched by two dispatch sources. All of it happens on one serial queue, so there is no lock.
final class Wire: @unchecked Sendable {
    let number: Int
    var onBytes: ([UInt8]) -> Void = { _ in }
    /// Once; not after `finish`.
    var onEnd: () -> Void = {}
    var onDrained: () -> Void = {}
    var limit = Int.max
    private(set) var out = Output()
    private(set) var isConnecting: Bool

    private let descriptor: Int32
    private let queue: DispatchQueue
    private let reader: any DispatchSourceRead
    private let writer: any DispatchSourceWrite
    private var readerRuns: Bool
    private var writerRuns: Bool
    private var sourcesLeft = 2
    private var flushIsComing = false
    private var hasEnded = false
    private var expectation = 0
    private var phase = Phase.open

    private enum Phase { case open, finishing, shut, broken, buried }

    var isPaused = false {
        didSet {
            guard isPaused != oldValue else { return }
            watch()
            // A hang-up is reported once, whatever is left to read: so look by ourselves.
            if !isPaused { queue.async { self.pull() } }
        }
    }

    /// - Parameter descriptor: does not block; is closed by the wire.
    init(_ descriptor: Int32, _ number: Int, _ queue: DispatchQueue, isConnecting: Bool) {
        self.descriptor = descriptor
        self.number = number
        self.queue = queue
        self.isConnecting = isConnecting
        reader = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        writer = DispatchSource.makeWriteSource(fileDescriptor: descriptor, queue: queue)
        readerRuns = true
        writerRuns = true
        reader.setEventHandler { [unowned self] in pull() }
        writer.setEventHandler { [unowned self] in
            if self.isConnecting { connected() } else { push() }
        }
        // The sources keep the wire alive until both are done with the descriptor.
        let gone: @Sendable @convention(block) () -> Void = {
            self.sourcesLeft -= 1
            if self.sourcesLeft == 0 { close(self.descriptor) }
        }
        reader.setCancelHandler(handler: gone)
        writer.setCancelHandler(handler: gone)
        reader.activate()
        writer.activate()
        watch()
    }

    /// Lets each source run only while there is something to do for it.
    private func watch() {
        guard phase != .buried else { return }
        let reads = !isConnecting && !isPaused && !hasEnded
        if reads != readerRuns {
            readerRuns = reads
            if reads { reader.resume() } else { reader.suspend() }
        }
        let writes = isConnecting || !out.isEmpty && !flushIsComing
        if writes != writerRuns {
            writerRuns = writes
            if writes { writer.resume() } else { writer.suspend() }
        }
    }

    private func connected() {
        var code: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size) != 0 || code != 0 { return bury() }
        isConnecting = false
        if phase == .open { expectNothing() }
        push()
        watch()
    }

    func send(_ bytes: [UInt8]) {
        guard phase == .open else { return }
        out.append(bytes)
        if out.count > limit {
            push()
            if out.count > limit { fail() }
        } else {
            flushSoon()
        }
    }

    /// What is said in one go goes out in one go.
    private func flushSoon() {
        guard !flushIsComing, !isConnecting else { return }
        flushIsComing = true
        queue.async { [self] in
            flushIsComing = false
            push()
        }
    }

    private func push() {
        guard phase == .open || phase == .finishing, !isConnecting else { return }
        if !out.isEmpty {
            while !out.isEmpty {
                let count = out.take { Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
                if count >= 0 || errno == EINTR { continue }
                if errno != EAGAIN { fail() }
                break
            }
            if out.isEmpty { onDrained() }
        }
        if phase == .finishing && out.isEmpty {
            phase = .shut
            shutdown(descriptor, Int32(SHUT_WR))
            if hasEnded { return bury() }
            expect(within: 2000)
        }
        if phase != .broken { watch() }
    }

    private func pull() {
        for _ in 0..<8 {
            guard phase != .broken, phase != .buried, !isPaused, !hasEnded, !isConnecting else { return }
            var failure: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 16_384) { room, count in
                let got = recv(descriptor, room.baseAddress, room.count, 0)
                failure = got < 0 ? errno : 0
                count = max(got, 0)
            }
            switch failure {
            case EINTR: continue
            case EAGAIN: return
            case 0 where bytes.isEmpty:
                hasEnded = true
                watch()
                let onEnd = onEnd
                if phase == .shut { return bury() }
                finish()
                return onEnd()
            case 0: onBytes(bytes)
            default: return fail()
            }
        }
        // The others are next.
        queue.async { self.pull() }
    }

    /// Sends what waits, says the end, and waits a little for the end of the other side.
    func finish() {
        guard phase == .open else { return }
        phase = .finishing
        forget()
        isPaused = false
        expect(within: 10_000)
        flushIsComing = true
        queue.async { [self] in
            flushIsComing = false
            push()
        }
    }

    func expect(within patience: Milliseconds) {
        expectation += 1
        queue.asyncAfter(deadline: .now() + .milliseconds(patience)) { [weak self, expectation] in
            guard let self, self.expectation == expectation, phase != .buried else { return }
            bury()
        }
    }

    func expectNothing() { expectation += 1 }

    /// Not at once: somebody may be in the middle of a sentence to many.
    private func fail() {
        guard phase != .buried, phase != .broken else { return }
        phase = .broken
        queue.async { self.bury() }
    }

    private func bury() {
        guard phase != .buried else { return }
        phase = .buried
        expectation += 1
        out = Output()
        let onEnd = onEnd
        forget()
        reader.cancel()
        writer.cancel()
        // A cancel handler is not called while its source is suspended.
        if !readerRuns { reader.resume() }
        if !writerRuns { writer.resume() }
        readerRuns = true
        writerRuns = true
        onEnd()
    }

    private func forget() {
        onBytes = { _ in }
        onEnd = {}
        onDrained = {}
    }
}

/// Accepts, on the same queue.
final class DispatchLoop: @unchecked Sendable {
    var onAccept: (Wire) -> Void = { _ in }
    private let queue = DispatchQueue(label: "chat room")
    private let listener: Int32
    private let source: any DispatchSourceRead
    private var lastNumber = 0

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        source = DispatchSource.makeReadSource(fileDescriptor: listener, queue: queue)
    }

    func run() throws -> Never {
        source.setEventHandler { self.acceptAll() }
        source.activate()
        while true { DispatchSemaphore(value: 0).wait() }
    }

    func add(_ descriptor: Int32, isConnecting: Bool = false) throws -> Wire {
        lastNumber += 1
        return Wire(descriptor, lastNumber, queue, isConnecting: isConnecting)
    }

    private func acceptAll() {
        while true {
            let client = accept(listener, nil, nil)
            if client >= 0 {
                _ = fcntl(client, F_SETFL, O_NONBLOCK)
                lastNumber += 1
                onAccept(Wire(client, lastNumber, queue, isConnecting: false))
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                source.suspend()
                return queue.asyncAfter(deadline: .now() + .milliseconds(100)) { self.source.resume() }
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case let code: fatalError("accept: \(errorText(code))")
            }
        }
    }

    func send(_ bytes: [UInt8], to wire: Wire) { wire.send(bytes) }
    func finish(_ wire: Wire) { wire.finish() }
    func expect(_ wire: Wire, within patience: Milliseconds) { wire.expect(within: patience) }
    func expectNothing(_ wire: Wire) { wire.expectNothing() }
    func resume(_ wire: Wire) { wire.isPaused = false }
}
