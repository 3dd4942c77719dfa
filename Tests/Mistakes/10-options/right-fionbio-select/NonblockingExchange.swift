import Course
import Sockets

func nonblockingExchange(_ socket: Int32, request: [UInt8], answerLength: Int) throws -> [UInt8] {
    let wasNonblocking = try check("fcntl(F_GETFL)", fcntl(socket, F_GETFL)) & O_NONBLOCK != 0
    if !wasNonblocking { try switchWaiting(socket, off: 1) }
    defer { if !wasNonblocking { try? switchWaiting(socket, off: 0) } }

    var answer: [UInt8] = []
    answer.reserveCapacity(answerLength)
    try exchange(socket, request[...], &answer, answerLength)
    return answer
}

/// FIONBIO touches this one flag, and no other.
private func switchWaiting(_ socket: Int32, off: Int32) throws {
    var value = off
    try check("ioctl(FIONBIO)", ioctl(socket, UInt(FIONBIO), &value))
}

private func exchange(_ socket: Int32, _ request: ArraySlice<UInt8>, _ answer: inout [UInt8], _ length: Int) throws {
    var unsent = request
    while !(unsent.isEmpty && answer.count == length) {
        let (canSend, canReceive) = try readiness(socket, out: !unsent.isEmpty, in: answer.count < length)
        if canSend { unsent = unsent.dropFirst(try put(socket, unsent)) }
        if canReceive { answer += try take(socket, length - answer.count, after: answer.count) }
    }
}

/// Asleep until one of the wanted directions is possible; neither if a signal came. A broken connection counts as both.
private func readiness(_ socket: Int32, out: Bool, in: Bool) throws -> (out: Bool, in: Bool) {
    var readable = Bits(holding: socket)
    var writable = Bits(holding: socket)
    if `in` { readable.insert(socket) }
    if out { writable.insert(socket) }
    let count = readable.lend { reading in
        writable.lend { writing in select(socket + 1, reading, writing, nil, nil) }
    }
    guard count >= 0 else {
        let code = errno
        if code == EINTR { return (false, false) }
        throw SocketError("select", code)
    }
    return (writable.contains(socket), readable.contains(socket))
}

/// What FD_SET does, and as long as the descriptor needs it: the kernel goes by the first parameter of select.
private struct Bits {
    private var words: [UInt]

    init(holding descriptor: Int32) {
        words = Array(repeating: 0, count: max(Int(descriptor) / 64 + 1, MemoryLayout<fd_set>.size / 8))
    }

    mutating func insert(_ descriptor: Int32) { words[Int(descriptor) / 64] |= 1 << UInt(descriptor % 64) }

    func contains(_ descriptor: Int32) -> Bool { words[Int(descriptor) / 64] & (1 << UInt(descriptor % 64)) != 0 }

    mutating func lend<Result>(_ body: (UnsafeMutablePointer<fd_set>) -> Result) -> Result {
        words.withUnsafeMutableBytes { body($0.baseAddress!.assumingMemoryBound(to: fd_set.self)) }
    }
}

/// How much went: 0 if nothing does now.
private func put(_ socket: Int32, _ bytes: ArraySlice<UInt8>) throws -> Int {
    let count = bytes.withUnsafeBytes { raw -> Int in
        var piece = iovec(iov_base: UnsafeMutableRawPointer(mutating: raw.baseAddress), iov_len: raw.count)
        return withUnsafeMutablePointer(to: &piece) { pieces in
            var message = msghdr()
            message.msg_iov = pieces
            message.msg_iovlen = 1
            return sendmsg(socket, &message, Int32(MSG_NOSIGNAL))
        }
    }
    if count >= 0 { return count }
    let code = errno
    guard code == EAGAIN || code == EINTR else { throw SocketError("sendmsg", code) }
    return 0
}

/// What is there, `most` bytes at most: nothing if nothing is there now.
private func take(_ socket: Int32, _ most: Int, after received: Int) throws -> [UInt8] {
    var count = 0
    var code: Int32 = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: min(most, 65_536)) { room, used in
        count = recvfrom(socket, room.baseAddress, min(most, 65_536), 0, nil, nil)
        code = errno
        used = max(0, count)
    }
    if count == 0 { throw StreamError.ended(received: received) }
    guard count > 0 || code == EAGAIN || code == EINTR else { throw SocketError("recvfrom", code) }
    return bytes
}
