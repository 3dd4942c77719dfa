/// One socket call that a lesson process made, as its tap recorded it.
import CTapRecord
import Course
import Sockets

public struct Call: Sendable {
    /// As the man page names it: `recvfrom`.
    public var name: String
    public var process: Int32
    public var thread: Int32
    /// The descriptor that it was called on; -1 if it takes none.
    public var descriptor: Int32
    /// Nanoseconds, CLOCK_MONOTONIC.
    public var entered: UInt64
    /// Nil while it has not returned: the call is blocked.
    public var returned: UInt64?
    /// What it returned; -1 failed with `error`.
    public var result: Int64 = 0
    /// An errno.
    public var error: Int32 = 0
    /// How many bytes it was asked to move, or the length of the address it was given.
    public var length: Int
    /// What else it was told: `CTap/calls_*.c` say what, at each call.
    public var arguments: (Int64, Int64)
    /// The first bytes that it was given to send, or had received.
    public var data: [UInt8]
    /// `bind`, `connect`, `sendto`: the address that it was given.
    public var given: SocketAddress?
    /// `accept`, `recv`, `recvfrom`…: the peer's address. `bind`, `listen`, `connect`: the true local one. What
    /// `getsockname` and `getpeername` said.
    public var found: SocketAddress?
    /// The lab made it fail or come back short.
    public var perturbed: Bool

    /// It came back, but the record of that was dropped: the pipe was full.
    public var returnIsLost = false

    /// How many pieces `writev` and `sendmsg` were given; nil for other calls.
    public var pieces: Int? { name == "writev" || name == "sendmsg" ? Int(arguments.1) : nil }

    /// What `getsockopt` said of SO_ERROR: an errno, 0 for none.
    public var pendingError: Int32? {
        guard name == "getsockopt", result == 0, returned != nil, data.count == 4,
            arguments == (Int64(SOL_SOCKET), Int64(SO_ERROR))
        else { return nil }
        return data.withUnsafeBytes { $0.loadUnaligned(as: Int32.self) }
    }

    /// Whom `select` was asked about, as far as the tap keeps it: numbers below 256.
    public var selected: (readable: [Int32], writable: [Int32])? {
        guard name == "select" || name == "pselect", data.count == 64 else { return nil }
        func numbers(_ set: ArraySlice<UInt8>) -> [Int32] {
            (0..<Int32(256)).filter { set[set.startIndex + Int($0 / 8)] & (1 << UInt8($0 % 8)) != 0 }
        }
        return (numbers(data[..<32]), numbers(data[32...]))
    }

    /// What `epoll_wait` said is ready, as far as the tap keeps it: the first 8. `data` is what the program had it keep, the
    /// descriptor for most.
    public var ready: [(events: UInt32, data: Int32)] {
        guard name == "epoll_wait" || name == "epoll_pwait", result > 0 else { return [] }
        return stride(from: 0, to: data.count / 8 * 8, by: 8).map { start in
            data.withUnsafeBytes {
                (
                    $0.loadUnaligned(fromByteOffset: start, as: UInt32.self),
                    $0.loadUnaligned(fromByteOffset: start + 4, as: Int32.self)
                )
            }
        }
    }

    public var isBlocked: Bool { returned == nil && !returnIsLost }
    public var failed: Bool { returned != nil && result == -1 }

    /// `recv`, `read`, `recvfrom`…: whatever takes bytes in.
    public var isReceive: Bool { Call.receives.contains(name) }
    public var isSend: Bool { Call.sends.contains(name) }
    public var isAccept: Bool { name == "accept" || name == "accept4" }
    /// Waits for several descriptors at once.
    public var isWait: Bool { Call.waits.contains(name) }

    public static let receives: Set = ["recv", "recvfrom", "recvmsg", "read", "readv"]
    public static let sends: Set = ["send", "sendto", "sendmsg", "write", "writev", "sendfile"]
    public static let waits: Set = ["select", "pselect", "poll", "ppoll", "epoll_wait", "epoll_pwait", "kevent"]
}

extension Call {
    init(entered record: tap_record) {
        self.init(
            name: String(cString: tap_call_name(Int32(record.call))), process: record.process, thread: record.thread,
            descriptor: record.descriptor, entered: record.time, length: Int(record.length),
            arguments: (record.argument.0, record.argument.1), data: record.bytes, given: record.peer,
            perturbed: record.perturbed != 0)
    }

    mutating func finish(_ record: tap_record) {
        perturbed = record.perturbed != 0
        returned = record.time
        result = record.result
        error = record.error
        if record.data_length > 0 { data = record.bytes }
        arguments = (record.argument.0, record.argument.1)
        found = record.peer
    }
}

extension tap_record {
    fileprivate var bytes: [UInt8] {
        withUnsafeBytes(of: data) { Array($0.prefix(Int(data_length))) }
    }

    fileprivate var peer: SocketAddress? {
        withUnsafeBytes(of: address) { SocketAddress(bytes: Array($0.prefix(Int(address_length)))) }
    }
}
