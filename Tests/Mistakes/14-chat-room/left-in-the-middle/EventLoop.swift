// One thread for all connections, around poll(2). It knows bytes, and nothing of what they mean.
//
// Lesson 07 says when epoll is better: with thousands of connections of which few are active. Here what one says goes
// to all, so all are active, and poll is enough; it is the same on every system, too.
import Course
import Sockets

/// One connection of an `EventLoop`.
final class Channel {
    fileprivate let descriptor: Int32
    /// What came. Not called any more after `onEnd`, `finish` or `drop`.
    var onBytes: ([UInt8]) -> Void = { _ in }
    /// The peer has ended its stream, or the connection is broken or was dropped by the loop. Called once, and not
    /// after
    /// `finish` or `drop`. What was sent before it still goes out, if the peer can still read.
    var onEnd: () -> Void = {}
    /// All that was sent is out.
    var onDrained: () -> Void = {}
    /// Of one that was added while it was connecting.
    var onConnected: () -> Void = {}
    /// So many bytes may wait for the peer to take them.
    var queueLimit = Int.max
    /// Nothing is received while this is false, so that the peer has to wait.
    var wantsBytes = true

    fileprivate(set) var output = Output()
    fileprivate var state = State.open
    fileprivate var isTouched = false
    /// Until when something is expected of it.
    fileprivate var due: Milliseconds?
    /// It is not connected yet, as far as is known: from connect(2) with EINPROGRESS on.
    fileprivate(set) var isConnecting = false
    /// Where it is in the list that poll gets.
    fileprivate var place = 0

    fileprivate enum State {
        case open
        /// Nothing more is said when the output is sent.
        case finishing
        /// That was said, too (shutdown(2)); the peer's end is waited for.
        case halfClosed
        /// To be closed when the events of this round are done.
        case broken
        case closed
    }

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    fileprivate var hasPeerEnded = false
}

final class EventLoop {
    /// A client has connected.
    var onAccept: (Channel) -> Void = { _ in }

    private let listener: Int32
    private var channels: [Channel] = []
    /// For poll: the listener, then a descriptor for each of `channels`.
    private var polled: [pollfd] = []
    private var touched: [Channel] = []
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    /// Who is waited for, by how long, in the order of time: all that wait equally long are due in the order that they
    /// came.
    private var awaited: [Milliseconds: [(channel: Channel, due: Milliseconds)]] = [:]
    /// No descriptor was left for one more client (EMFILE): until then none is accepted.
    private var acceptsAgain: Milliseconds?

    /// How long a peer may take to end its side when we have ended ours.
    private static let patience: Milliseconds = 2000

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        polled = [pollfd(fd: listener, events: Int16(POLLIN), revents: 0)]
    }

    deinit {
        for channel in channels where channel.state != .closed { Sockets.close(channel.descriptor) }
        Sockets.close(listener)
    }

    func run() throws -> Never {
        while true { try runOnce() }
    }

    // MARK: For those who answer

    /// - Parameter descriptor: of a socket that does not block; it belongs to the loop from now on.
    func add(_ descriptor: Int32, isConnecting: Bool = false) -> Channel {
        let channel = Channel(descriptor)
        channel.isConnecting = isConnecting
        channels.append(channel)
        polled.append(pollfd(fd: descriptor, events: 0, revents: 0))
        channel.place = channels.count
        touch(channel)
        return channel
    }

    /// Never waits: what the kernel does not take now is kept, and goes out when there is room.
    func send(_ bytes: [UInt8], to channel: Channel) {
        guard channel.state == .open else { return }
        channel.output.append(bytes)
        touch(channel)
        guard channel.output.count > channel.queueLimit else { return }
        // Much was said in this round, perhaps, and the kernel was not asked yet: only what it does not take is a
        // queue.
        flush(channel)
        // Who does not read cannot be told why, either: the word would stand at the end of the queue.
        if channel.output.count > channel.queueLimit {
            let onEnd = channel.onEnd
            forget(channel)
            markBroken(channel)
            onEnd()
        }
    }

    /// Sends what waits, ends our side, and closes when the peer has ended its own. What still comes is thrown away.
    ///
    /// Not close(2) at once: bytes that are still on their way to us would be answered by a reset, and a reset takes
    /// from the peer what it has not read yet, our last word for one.
    func finish(_ channel: Channel) {
        guard channel.state == .open else { return }
        forget(channel)
        channel.state = .finishing
        channel.wantsBytes = true
        expect(channel, within: EventLoop.patience)
        touch(channel)
    }

    /// Closes it now, with whatever waits.
    func drop(_ channel: Channel) {
        forget(channel)
        markBroken(channel)
    }

    /// Drops it, and calls `onEnd`, unless `expectNothing` comes in time.
    func expect(_ channel: Channel, within patience: Milliseconds) {
        let due = monotonicMilliseconds() + patience
        channel.due = due
        awaited[patience, default: []].append((channel, due))
    }

    func expectNothing(_ channel: Channel) { channel.due = nil }

    /// `wantsBytes` was changed, say.
    func touch(_ channel: Channel) {
        guard !channel.isTouched else { return }
        channel.isTouched = true
        touched.append(channel)
    }

    // MARK: The loop

    private func runOnce() throws {
        let timeout = untilNextIsDue()
        polled[0].events = acceptsAgain == nil ? Int16(POLLIN) : 0
        if poll(&polled, nfds_t(polled.count), timeout) < 0 && errno != EINTR { throw SocketError("poll", errno) }
        // Those that close while we look are removed behind this loop: until then every channel keeps its place.
        for place in polled.indices.dropFirst() where polled[place].revents != 0 {
            let events = Int32(polled[place].revents)
            polled[place].revents = 0
            let channel = channels[place - 1]
            if channel.isConnecting, events & Int32(POLLOUT) != 0, events & Int32(POLLHUP | POLLERR) == 0 {
                channel.isConnecting = false
                channel.onConnected()
            }
            // Of an error or a hang-up recv tells the rest.
            if events & Int32(POLLIN | POLLHUP | POLLERR) != 0 { receive(from: channel) }
            touch(channel)
        }
        dropOverdue()
        settle()
        if polled[0].revents != 0 || acceptsAgain.map({ $0 <= monotonicMilliseconds() }) == true {
            polled[0].revents = 0
            try acceptClients()
            settle()
        }
    }

    private func receive(from channel: Channel) {
        guard channel.state != .closed, channel.state != .broken, !channel.hasPeerEnded else { return }
        let count = recv(channel.descriptor, &buffer, buffer.count, 0)
        if count > 0 { return channel.onBytes(Array(buffer[..<count])) }
        if count < 0 {
            if errno != EINTR && errno != EAGAIN { markBroken(channel) }
            return
        }
        channel.hasPeerEnded = true
        guard channel.state == .open else { return }
        let onEnd = channel.onEnd
        finish(channel)
        onEnd()
    }

    /// Until nobody has anything to send: one who is dropped makes others hear of it.
    private func settle() {
        while !touched.isEmpty {
            let round = touched
            touched.removeAll(keepingCapacity: true)
            for channel in round {
                channel.isTouched = false
                settle(channel)
            }
        }
    }

    private func settle(_ channel: Channel) {
        flush(channel)
        if channel.state == .finishing && channel.output.isEmpty {
            shutdown(channel.descriptor, SHUT_WR)
            channel.state = .halfClosed
        }
        if channel.state == .broken || channel.state == .halfClosed && channel.hasPeerEnded { return remove(channel) }
        guard channel.state != .closed else { return }
        let reading = channel.wantsBytes && !channel.hasPeerEnded
        polled[channel.place].events =
            (reading ? Int16(POLLIN) : 0) | (channel.output.isEmpty && !channel.isConnecting ? 0 : Int16(POLLOUT))
        // A hang-up is reported unasked, again and again: who has ended both ways, and is not read from, is not asked
        // about.
        polled[channel.place].fd = polled[channel.place].events == 0 ? -1 : channel.descriptor
    }

    private func flush(_ channel: Channel) {
        guard channel.state == .open || channel.state == .finishing, !channel.output.isEmpty else { return }
        let count = channel.output.withUnsafeBytes {
            Sockets.send(channel.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
        }
        if count >= 0 {
            channel.output.removeFirst(count)
            if channel.output.isEmpty { channel.onDrained() }
        } else if errno != EINTR && errno != EAGAIN && errno != ENOTCONN {
            markBroken(channel)
        }
    }

    private func markBroken(_ channel: Channel) {
        guard channel.state != .closed else { return }
        channel.state = .broken
        channel.output = Output()
        touch(channel)
    }

    private func forget(_ channel: Channel) {
        channel.onBytes = { _ in }
        channel.onEnd = {}
        channel.onDrained = {}
        channel.onConnected = {}
        channel.due = nil
    }

    private func remove(_ channel: Channel) {
        let onEnd = channel.onEnd
        forget(channel)
        channel.state = .closed
        Sockets.close(channel.descriptor)
        // The last one takes its place.
        if let last = channels.popLast(), last !== channel {
            channels[channel.place - 1] = last
            polled[channel.place] = polled[last.place]
            last.place = channel.place
        }
        polled.removeLast()
        onEnd()
    }

    // MARK: Time

    private func untilNextIsDue() -> Int32 {
        let next = (awaited.values.compactMap { $0.first?.due } + [acceptsAgain].compactMap { $0 }).min()
        return next.map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
    }

    private func dropOverdue() {
        let now = monotonicMilliseconds()
        for (patience, queue) in awaited {
            // Only from the front: who is behind somebody that is still waited for is looked at later.
            let over = queue.prefix { $0.due <= now || $0.channel.due != $0.due }
            guard !over.isEmpty else { continue }
            for (channel, due) in over where channel.due == due { markBroken(channel) }
            awaited[patience]?.removeFirst(over.count)
        }
    }

    // MARK: Accepting

    private func acceptClients() throws {
        acceptsAgain = nil
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor): onAccept(add(descriptor))
            case .nobody: return
            case .noRoom:
                // It stays in the queue of the listener, which would be reported again at once.
                acceptsAgain = monotonicMilliseconds() + 100
                return
            }
        }
    }
}

/// A clock that nobody sets: differences are time.
func monotonicMilliseconds() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
