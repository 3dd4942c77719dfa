import Course
import Sockets

final class Channel {
    fileprivate let descriptor: Int32
    var onBytes: ([UInt8]) -> Void = { _ in }
    var onEnd: () -> Void = {}
    var onDrained: () -> Void = {}
    var onConnected: () -> Void = {}
    var queueLimit = Int.max
    var wantsBytes = true

    fileprivate(set) var output = Output()
    fileprivate var state = State.open
    fileprivate var isTouched = false
    fileprivate var due: Milliseconds?
    fileprivate(set) var isConnecting = false
    fileprivate var place = 0

    fileprivate enum State {
        case open
        case finishing
        case halfClosed
        case broken
        case closed
    }

    fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }

    fileprivate var hasPeerEnded = false
}

final class EventLoop {
    var onAccept: (Channel) -> Void = { _ in }

    private let listener: Int32
    private var channels: [Channel] = []
    private var polled: [pollfd] = []
    private var touched: [Channel] = []
    private var buffer = [UInt8](repeating: 0, count: 16_384)
    private var awaited: [Milliseconds: [(channel: Channel, due: Milliseconds)]] = [:]
    private var acceptsAgain: Milliseconds?

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

    func add(_ descriptor: Int32, isConnecting: Bool = false) -> Channel {
        let channel = Channel(descriptor)
        var abort = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
        channel.isConnecting = isConnecting
        channels.append(channel)
        polled.append(pollfd(fd: descriptor, events: 0, revents: 0))
        channel.place = channels.count
        touch(channel)
        return channel
    }

    func send(_ bytes: [UInt8], to channel: Channel) {
        guard channel.state == .open else { return }
        channel.output.append(bytes)
        touch(channel)
        guard channel.output.count > channel.queueLimit else { return }
        flush(channel)
        if channel.output.count > channel.queueLimit { markBroken(channel) }
    }

    func finish(_ channel: Channel) {
        guard channel.state == .open else { return }
        forget(channel)
        channel.state = .finishing
        channel.wantsBytes = true
        expect(channel, within: EventLoop.patience)
        touch(channel)
    }

    func drop(_ channel: Channel) {
        forget(channel)
        markBroken(channel)
    }

    func expect(_ channel: Channel, within patience: Milliseconds) {
        let due = monotonicMilliseconds() + patience
        channel.due = due
        awaited[patience, default: []].append((channel, due))
    }

    func expectNothing(_ channel: Channel) { channel.due = nil }

    func touch(_ channel: Channel) {
        guard !channel.isTouched else { return }
        channel.isTouched = true
        touched.append(channel)
    }

    private func runOnce() throws {
        let timeout = untilNextIsDue()
        polled[0].events = acceptsAgain == nil ? Int16(POLLIN) : 0
        if poll(&polled, nfds_t(polled.count), timeout) < 0 && errno != EINTR { throw SocketError("poll", errno) }
        for place in polled.indices.dropFirst() where polled[place].revents != 0 {
            let events = Int32(polled[place].revents)
            polled[place].revents = 0
            let channel = channels[place - 1]
            if channel.isConnecting, events & Int32(POLLOUT) != 0, events & Int32(POLLHUP | POLLERR) == 0 {
                channel.isConnecting = false
                channel.onConnected()
            }
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
        if let last = channels.popLast(), last !== channel {
            channels[channel.place - 1] = last
            polled[channel.place] = polled[last.place]
            last.place = channel.place
        }
        polled.removeLast()
        onEnd()
    }

    private func untilNextIsDue() -> Int32 {
        let next = (awaited.values.compactMap { $0.first?.due } + [acceptsAgain].compactMap { $0 }).min()
        return next.map { Int32(clamping: max(0, $0 - monotonicMilliseconds())) } ?? -1
    }

    private func dropOverdue() {
        let now = monotonicMilliseconds()
        for (patience, queue) in awaited {
            let over = queue.prefix { $0.due <= now || $0.channel.due != $0.due }
            guard !over.isEmpty else { continue }
            for (channel, due) in over where channel.due == due { markBroken(channel) }
            awaited[patience]?.removeFirst(over.count)
        }
    }

    private func acceptClients() throws {
        acceptsAgain = nil
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor): onAccept(add(descriptor))
            case .nobody: return
            case .noRoom:
                acceptsAgain = monotonicMilliseconds() + 100
                return
            }
        }
    }
}

func monotonicMilliseconds() -> Milliseconds {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}
