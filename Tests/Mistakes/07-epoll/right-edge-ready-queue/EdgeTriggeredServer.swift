import Course
import Sockets

/// Each client is a small machine: two flags say what the kernel has announced and not taken back with EAGAIN, and as long
/// as one of them is of use the client stands in the queue for its next turn.
private final class Machine {
    let descriptor: Int32
    var hasInput = true
    var hasRoom = true
    var isQueued = false
    private var isAtEnd = false
    private var isDead = false
    private var pieces: [[UInt8]] = []
    private var skipped = 0
    private var amount = 0

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    var isOver: Bool { isDead || isAtEnd && amount == 0 }
    private var shallReceive: Bool { !isDead && !isAtEnd && hasInput && amount < 65_536 }
    private var shallSend: Bool { !isDead && hasRoom && amount > 0 }
    var shallRun: Bool { shallReceive || shallSend }

    /// One receive and one send at most: the next turn comes soon.
    func turn() {
        if shallReceive { receivePiece() }
        if shallSend { sendPieces() }
    }

    private func receivePiece() {
        var result = 0
        var problem: Int32 = 0
        let piece = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16_384) { buffer -> [UInt8] in
            result = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            problem = errno
            // Exactly as long as what came.
            return buffer[..<max(0, result)].map { $0 >= UInt8(ascii: "a") && $0 <= UInt8(ascii: "z") ? $0 - 32 : $0 }
        }
        switch (result, problem) {
        case (1..., _):
            pieces.append(piece)
            amount += result
        case (0, _): isAtEnd = true
        case (_, EINTR): break
        case (_, EAGAIN): hasInput = false
        default: isDead = true
        }
    }

    /// Up to eight pieces with one call.
    private func sendPieces() {
        func gather(_ index: Int, _ vectors: inout [iovec]) -> Int {
            guard index < min(8, pieces.count) else {
                return vectors.withUnsafeMutableBufferPointer { list in
                    var message = msghdr()
                    message.msg_iov = list.baseAddress
                    message.msg_iovlen = list.count
                    return sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
                }
            }
            return pieces[index].withUnsafeBytes { bytes in
                let from = index == 0 ? skipped : 0
                vectors.append(
                    iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + from),
                        iov_len: bytes.count - from))
                return gather(index + 1, &vectors)
            }
        }
        var vectors: [iovec] = []
        var sent = gather(0, &vectors)
        if sent < 0 {
            if errno == EAGAIN { hasRoom = false } else if errno != EINTR { isDead = true }
            return
        }
        amount -= sent
        var gone = 0
        while gone < pieces.count, sent >= pieces[gone].count - skipped {
            sent -= pieces[gone].count - skipped
            skipped = 0
            gone += 1
        }
        skipped += sent
        pieces.removeFirst(gone)
    }
}

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    let list = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(list) }
    let edges = EPOLLET.rawValue

    func add(_ descriptor: Int32, _ mask: UInt32) throws {
        var event = epoll_event(events: mask | edges, data: epoll_data_t(fd: descriptor))
        try check("epoll_ctl", epoll_ctl(list, EPOLL_CTL_ADD, descriptor, &event))
    }
    try add(listener, EPOLLIN.rawValue)

    var machines: [Int32: Machine] = [:]
    defer { for descriptor in machines.keys { close(descriptor) } }
    var queue: [Machine] = []
    var callersMayWait = false
    var events = [epoll_event](repeating: epoll_event(), count: 256)

    func enqueue(_ machine: Machine) {
        guard !machine.isQueued else { return }
        machine.isQueued = true
        queue.append(machine)
    }

    while true {
        let count = epoll_wait(list, &events, Int32(events.count), !queue.isEmpty ? 0 : callersMayWait ? 100 : -1)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        for event in events.prefix(max(0, Int(count))) {
            if event.data.fd == listener {
                callersMayWait = true
            } else if let machine = machines[event.data.fd] {
                // An error or a hang-up is found by whichever call comes next.
                if event.events & ~EPOLLOUT.rawValue != 0 { machine.hasInput = true }
                if event.events & ~EPOLLIN.rawValue != 0 { machine.hasRoom = true }
                enqueue(machine)
            }
        }
        // Eight turns for all that stand in the queue; who comes to the end of his work leaves it.
        for _ in 0..<8 where !queue.isEmpty {
            let present = queue
            queue.removeAll(keepingCapacity: true)
            for machine in present {
                machine.isQueued = false
                machine.turn()
                if machine.isOver {
                    machines[machine.descriptor] = nil
                    close(machine.descriptor)
                } else if machine.shallRun {
                    enqueue(machine)
                }
            }
        }
        // Newcomers last, so that no number has two owners in one round.
        while callersMayWait {
            let caller = accept(listener, nil, nil)
            if caller >= 0 {
                setNonblocking(caller)
                try add(caller, EPOLLIN.rawValue | EPOLLOUT.rawValue)
                machines[caller] = Machine(caller)
            } else if errno == EAGAIN {
                callersMayWait = false
            } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
                break
            } else if [EBADF, EFAULT, EINVAL, ENOTSOCK].contains(errno) {
                throw SocketError("accept", errno)
            }
        }
    }
}
