import Sockets

/// A table with a place for each number that fits into a set; accept4, recvfrom and sendmsg, pselect.
private struct Slot {
    var bytes: [UInt8] = []
    /// Everything before this has been sent.
    var start = 0
    var hasEnded = false
    var waiting: Int { bytes.count - start }
}

private let limit = 48 * 1024

func selectServer(host: String, port: UInt16) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    defer { close(listener) }
    guard listener < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var one: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))

    var slots = [Slot?](repeating: nil, count: Int(FD_SETSIZE))
    defer { for (fd, slot) in slots.enumerated() where slot != nil { close(Int32(fd)) } }
    var buffer = [UInt8](repeating: 0, count: 8192)
    /// Until then the listener is left alone: there was no descriptor.
    var pausedUntil: Int?

    while true {
        if let end = pausedUntil, now() >= end { pausedUntil = nil }
        var r = fd_set()
        var w = fd_set()
        fdZero(&r)
        fdZero(&w)
        var top = listener
        if pausedUntil == nil { fdSet(listener, &r) }
        for fd in 0..<slots.count {
            guard let slot = slots[fd] else { continue }
            let wantsRead = !slot.hasEnded && slot.waiting < limit
            if wantsRead { fdSet(Int32(fd), &r) }
            if slot.waiting > 0 { fdSet(Int32(fd), &w) }
            if wantsRead || slot.waiting > 0 { top = max(top, Int32(fd)) }
        }
        var pause = timespec(tv_sec: 0, tv_nsec: 100_000_000)
        let ready =
            pausedUntil == nil ? pselect(top + 1, &r, &w, nil, nil, nil) : pselect(top + 1, &r, &w, nil, &pause, nil)
        if ready < 0 {
            if errno == EINTR { continue }
            throw SocketError("pselect", errno)
        }
        if ready == 0 { continue }

        for number in 0..<slots.count where slots[number] != nil {
            let fd = Int32(number)
            var alive = true
            // What is pending first, so that answers go out in order and make room.
            if fdIsSet(fd, &w) != 0 { alive = flush(fd, &slots[number]!) }
            if alive && fdIsSet(fd, &r) != 0 { alive = fill(fd, &slots[number]!, &buffer) }
            if !alive || slots[number]!.hasEnded && slots[number]!.waiting == 0 {
                slots[number] = nil
                close(fd)
                pausedUntil = nil
            }
        }
        guard fdIsSet(listener, &r) != 0 else { continue }
        while pausedUntil == nil {
            let fd = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd >= Int32(FD_SETSIZE) {
                close(fd)
            } else if fd >= 0 {
                slots[Int(fd)] = Slot()
            } else if errno == EAGAIN {
                break
            } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
                pausedUntil = now() + 100
            } else if errno == EBADF || errno == EINVAL || errno == ENOTSOCK || errno == EOPNOTSUPP {
                throw SocketError("accept4", errno)
            }
            // Every other error is about the one connection that was waiting (accept(2)).
        }
    }
}

private func fill(_ fd: Int32, _ slot: inout Slot, _ buffer: inout [UInt8]) -> Bool {
    let count = recvfrom(fd, &buffer, buffer.count, 0, nil, nil)
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    if count == 0 { slot.hasEnded = true }
    if slot.start > 0 {
        slot.bytes.removeFirst(slot.start)
        slot.start = 0
    }
    for i in 0..<count {
        let byte = buffer[i]
        slot.bytes.append(byte > 96 && byte < 123 ? byte ^ 0x20 : byte)
    }
    return true
}

private func flush(_ fd: Int32, _ slot: inout Slot) -> Bool {
    let start = slot.start
    let size = slot.waiting
    let count = slot.bytes.withUnsafeMutableBytes { all -> Int in
        var part = iovec(iov_base: all.baseAddress! + start, iov_len: size)
        return withUnsafeMutablePointer(to: &part) {
            var message = msghdr()
            message.msg_iov = $0
            message.msg_iovlen = 1
            return sendmsg(fd, &message, MSG_NOSIGNAL)
        }
    }
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    slot.start += count
    if slot.waiting == 0 { (slot.bytes, slot.start) = ([], 0) }
    return true
}

func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}
