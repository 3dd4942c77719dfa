// The helpers of this program; they are not those of lesson 04.
import Course
import Sockets

/// Makes the call again as long as a signal interrupts it.
func uninterrupted(_ call: String, _ body: () -> Int) throws -> Int {
    while true {
        let result = body()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw SocketError(call, code) }
    }
}

/// A slice of raw memory, whole, through any call that may take less.
func drain(_ memory: UnsafeRawBufferPointer, _ call: String, _ step: (UnsafeRawPointer, Int) -> Int) throws {
    guard let base = memory.baseAddress else { return }
    var done = 0
    while done < memory.count {
        done += try uninterrupted(call) { step(base + done, memory.count - done) }
    }
}

func sendAll(_ socket: Int32, _ bytes: [UInt8], flags: Int32 = 0) throws {
    try bytes.withUnsafeBytes { memory in
        try drain(memory, "send") { send(socket, $0, $1, flags | Int32(MSG_NOSIGNAL)) }
    }
}

/// Up to `count` bytes, in pieces of 16 KiB at most, so that memory grows with what has come.
/// - Returns: fewer than `count` only if the stream has ended.
func take(_ count: Int, from socket: Int32) throws -> [UInt8] {
    var taken: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: min(count, 16_384))
    while taken.count < count {
        let wanted = min(piece.count, count - taken.count)
        let got = try uninterrupted("recv") { recv(socket, &piece, wanted, Int32(0)) }
        if got == 0 { break }
        taken.append(contentsOf: piece.prefix(got))
    }
    return taken
}

func number(_ bytes: [UInt8]) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
