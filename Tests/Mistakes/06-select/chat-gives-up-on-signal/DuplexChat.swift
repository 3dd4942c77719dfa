import Sockets

/// Two directions, one thread: from the keyboard to the peer, and from the peer to the screen, whichever has something.
///
/// The peer decides when it is over: when its side has ended there is nobody left to talk to, whatever is typed.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    var outward = Flow(from: input, to: socket, toSocket: true)
    var inward = Flow(from: socket, to: output, toSocket: false)
    for descriptor in [socket, input, output] where descriptor >= Int32(FD_SETSIZE) {
        throw SocketError("select(\(descriptor))", EMFILE)
    }

    while !inward.isFinished {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        outward.addInterest(&readable, &writable)
        inward.addInterest(&readable, &writable)
        if select(max(socket, input, output) + 1, &readable, &writable, nil, nil) < 0 {
            throw SocketError("select", errno)
        }
        try outward.move(readable, writable)
        try inward.move(readable, writable)

        // The keyboard has ended (Ctrl-D), but the peer may still be answering: shutdown tells it that no more will come,
        // and leaves the other direction open. close would cut it off.
        if outward.justEnded { shutdown(socket, SHUT_WR) }
    }
}

/// Bytes on their way from one descriptor to another, in one direction.
private struct Flow {
    let from: Int32
    let to: Int32
    /// A socket whose peer is gone must not end the program (SIGPIPE); write has no flag for that.
    let toSocket: Bool
    private var pending: [UInt8] = []
    private var sourceHasEnded = false
    private var hasReportedEnd = false

    init(from: Int32, to: Int32, toSocket: Bool) {
        self.from = from
        self.to = to
        self.toSocket = toSocket
    }

    var isFinished: Bool { sourceHasEnded && pending.isEmpty }

    /// True once, when the last byte has gone out.
    var justEnded: Bool {
        mutating get {
            guard isFinished, !hasReportedEnd else { return false }
            hasReportedEnd = true
            return true
        }
    }

    /// Either it has bytes to put somewhere, or it wants some: never both, so it never holds more than one buffer.
    func addInterest(_ readable: inout fd_set, _ writable: inout fd_set) {
        if !pending.isEmpty {
            fdSet(to, &writable)
        } else if !sourceHasEnded {
            fdSet(from, &readable)
        }
    }

    mutating func move(_ readable: fd_set, _ writable: fd_set) throws {
        var (readable, writable) = (readable, writable)
        if !pending.isEmpty, fdIsSet(to, &writable) != 0 {
            // A terminal's descriptor is shared with other programs, so it is left blocking; what select calls writable
            // has room for this much (pipe(7), PIPE_BUF).
            let size = min(pending.count, 4096)
            let count = toSocket ? send(to, pending, size, MSG_NOSIGNAL) : write(to, pending, size)
            if count >= 0 {
                pending.removeFirst(count)
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("write", errno)
            }
        } else if pending.isEmpty, !sourceHasEnded, fdIsSet(from, &readable) != 0 {
            var buffer = [UInt8](repeating: 0, count: 16_384)
            let count = read(from, &buffer, buffer.count)
            if count > 0 {
                pending = Array(buffer[..<count])
            } else if count == 0 {
                sourceHasEnded = true
            } else if errno != EINTR && errno != EAGAIN {
                throw SocketError("read", errno)
            }
        }
    }
}
