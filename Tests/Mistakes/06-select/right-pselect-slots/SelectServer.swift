import Sockets

/// One thread around pselect. Connections live in a table that is indexed by their descriptors.
func selectServer(host: String, port: UInt16) throws {
    let reception = try Reception(host: host, port: port)
    defer { close(reception.listener) }
    let table = Table()
    defer { table.closeAll() }

    while true {
        var interest = Interest()
        if reception.isOpen { interest.read(reception.listener) }
        table.each { connection in
            if connection.wantsInput { interest.read(connection.descriptor) }
            if connection.hasOutput { interest.write(connection.descriptor) }
        }
        guard try interest.wait(atMost: reception.pause) else { continue }

        table.each { connection in
            if interest.isReadable(connection.descriptor) { connection.takeInput() }
            if connection.hasOutput { connection.pushOutput() }
            if connection.isFinished { table.remove(connection) }
        }
        if !reception.isOpen || interest.isReadable(reception.listener) {
            try reception.admit { table.add($0) }
        }
    }
}

/// What one call of pselect is asked, and what it answered.
private struct Interest {
    private var readers = fd_set()
    private var writers = fd_set()
    private var count: Int32 = 0

    init() {
        fdZero(&readers)
        fdZero(&writers)
    }

    mutating func read(_ descriptor: Int32) {
        fdSet(descriptor, &readers)
        count = max(count, descriptor + 1)
    }

    mutating func write(_ descriptor: Int32) {
        fdSet(descriptor, &writers)
        count = max(count, descriptor + 1)
    }

    /// - Returns: false if a signal came first: then the sets say nothing.
    mutating func wait(atMost pause: timespec?) throws -> Bool {
        let result: Int32
        if var pause {
            result = pselect(count, &readers, &writers, nil, &pause, nil)
        } else {
            result = pselect(count, &readers, &writers, nil, nil, nil)
        }
        if result >= 0 { return true }
        if errno == EINTR { return false }
        throw SocketError("pselect", errno)
    }

    func isReadable(_ descriptor: Int32) -> Bool {
        var copy = readers
        return fdIsSet(descriptor, &copy) != 0
    }
}

private final class Table {
    private var slots = [Connection?](repeating: nil, count: Int(FD_SETSIZE))
    private var used = 0

    func add(_ descriptor: Int32) {
        slots[Int(descriptor)] = Connection(descriptor)
        used = max(used, Int(descriptor) + 1)
    }

    func remove(_ connection: Connection) {
        slots[Int(connection.descriptor)] = nil
        close(connection.descriptor)
        while used > 0 && slots[used - 1] == nil { used -= 1 }
    }

    func each(_ body: (Connection) -> Void) {
        for index in 0..<used {
            if let connection = slots[index] { body(connection) }
        }
    }

    func closeAll() { each { close($0.descriptor) } }
}

private final class Connection {
    let descriptor: Int32
    private var output: [UInt8] = []
    private var sent = 0
    private var inputHasEnded = false
    private var isBroken = false
    /// Once too much is kept, nothing is read until most of it is gone.
    private var isHeldUp = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    var wantsInput: Bool { !inputHasEnded && !isHeldUp }
    var hasOutput: Bool { sent < output.count && !isBroken }
    var isFinished: Bool { isBroken || inputHasEnded && sent == output.count }

    func takeInput() {
        let came = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16_384) { room -> Int in
            let count = recv(descriptor, room.baseAddress, room.count, MSG_DONTWAIT)
            guard count >= 0 else { return -Int(errno) }
            for byte in room.prefix(count) {
                output.append(byte >= 0x61 && byte <= 0x7A ? byte & 0b1101_1111 : byte)
            }
            return count
        }
        switch came {
        case 0: inputHasEnded = true
        case 1...: isHeldUp = output.count - sent > 65_536
        default: isBroken = -came != Int(EAGAIN) && -came != Int(EINTR)
        }
    }

    func pushOutput() {
        let count = output.withUnsafeBytes { bytes -> Int in
            var piece = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + sent), iov_len: bytes.count - sent)
            return withUnsafeMutablePointer(to: &piece) { pointer in
                var message = msghdr()
                message.msg_iov = pointer
                message.msg_iovlen = 1
                return sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
        }
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { isBroken = true }
            return
        }
        sent += count
        if sent == output.count {
            output.removeAll(keepingCapacity: output.capacity <= 65_536)
            sent = 0
        } else if sent >= 32_768 {
            output.removeFirst(sent)
            sent = 0
        }
        if output.count - sent < 16_384 { isHeldUp = false }
    }
}

private final class Reception {
    let listener: Int32
    private(set) var isOpen = true

    init(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        self.listener = listener
        do {
            guard listener < Int32(FD_SETSIZE) else { throw SocketError("pselect", EMFILE) }
            var yes: Int32 = 1
            try check(
                "setsockopt",
                setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, SOMAXCONN))
            setNonblocking(listener)
        } catch {
            close(listener)
            throw error
        }
    }

    /// Closed means: no descriptor was left. Look again in a tenth of a second.
    var pause: timespec? { isOpen ? nil : timespec(tv_sec: 0, tv_nsec: 100_000_000) }

    func admit(_ add: (Int32) -> Void) throws {
        isOpen = true
        while isOpen {
            let connection = accept(listener, nil, nil)
            if connection >= 0 {
                guard connection < Int32(FD_SETSIZE) else {
                    close(connection)
                    continue
                }
                setNonblocking(connection)
                add(connection)
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: isOpen = false
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH, EHOSTDOWN, ENONET, ENOPROTOOPT,
                EOPNOTSUPP:
                continue
            default: throw SocketError("accept", errno)
            }
        }
    }
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}
