// All of the lesson in one file.
import Course
import Sockets

// MARK: What an errno asks for

private let groups: [(advice: ErrorAdvice, codes: Set<Int32>)] = [
    (.callAgain, [EINTR]),
    (.waitUntilReady, [EAGAIN, EINPROGRESS, EALREADY]),
    (.tryLater, [ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM]),
    (.peerIsGone, [EPIPE]),
    (.wrongAddress, [EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT]),
    (
        .wrongProgram,
        [
            EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP, EPROTONOSUPPORT, ENOPROTOOPT, EMSGSIZE,
            EDESTADDRREQ,
        ]
    ),
]

private let dependsOnTheMoment: Set<Int32> = [ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ECONNRESET, ECONNABORTED]

func classify(code: Int32, isConnected: Bool) -> ErrorAdvice {
    if dependsOnTheMoment.contains(code) { return isConnected ? .peerIsGone : .tryLater }
    return groups.first { $0.codes.contains(code) }?.advice ?? .unknown
}

// MARK: Time

private typealias Moment = SuspendingClock.Instant

private func moment(in wait: Milliseconds) -> Moment {
    SuspendingClock.now + .milliseconds(max(0, min(wait, 1_000_000_000)))
}

/// Rounded up.
private func milliseconds(until end: Moment) -> Int {
    let left = end - SuspendingClock.now
    guard left > .zero else { return 0 }
    let (seconds, attoseconds) = left.components
    return Int(seconds) * 1000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
}

/// - Returns: 0 if something has happened on the descriptor, ETIMEDOUT if nothing did, or what poll said.
private func waitFor(_ descriptor: Int32, _ events: Int32, until end: Moment) -> Int32 {
    while true {
        let left = milliseconds(until: end)
        var entry = [pollfd(fd: descriptor, events: Int16(events), revents: 0)]
        let count = poll(&entry, 1, Int32(left))
        let code = errno
        if count > 0 { return 0 }
        if count == 0 { return ETIMEDOUT }
        if code != EINTR { return code }
        if left == 0 { return ETIMEDOUT }
    }
}

// MARK: Connecting

func connectWithRetry(
    host: String, port: UInt16, policy: RetryPolicy, sleep: (Milliseconds) -> Void
) throws -> Int32 {
    let end = moment(in: policy.timeout)
    var most = max(0, min(policy.firstWait, policy.longestWait))
    var attemptsLeft = policy.attempts
    while true {
        attemptsLeft -= 1
        let failure: any Error
        let mayPass: Bool
        do {
            return try attempt(host, port, limit: policy.connectTimeout, end: end)
        } catch let error as SocketError {
            (failure, mayPass) = (error, classify(code: error.code, isConnected: false) == .tryLater)
        } catch let error as ResolveError {
            (failure, mayPass) = (error, error.code == EAI_AGAIN)
        }
        let wait = Int.random(in: (most + 1) / 2...most)
        if !mayPass || attemptsLeft <= 0 || wait >= milliseconds(until: end) { throw failure }
        sleep(wait)
        most = most < policy.longestWait - most ? most + most : policy.longestWait
    }
}

private func attempt(_ host: String, _ port: UInt16, limit: Milliseconds, end: Moment) throws -> Int32 {
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = SOCK_STREAM
    var list: UnsafeMutablePointer<addrinfo>?
    let answer = getaddrinfo(host, String(port), &hints, &list)
    if answer != 0 { throw ResolveError(code: answer) }
    defer { freeaddrinfo(list) }

    var failure = SocketError("connect", EADDRNOTAVAIL)
    var cursor = list
    while let info = cursor?.pointee {
        cursor = info.ai_next
        let descriptor = socket(info.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        let problem: SocketError
        if descriptor < 0 {
            problem = SocketError("socket", errno)
        } else {
            let code = reach(info, by: descriptor, until: min(end, moment(in: limit)))
            if code == 0 { return descriptor }
            close(descriptor)
            problem = SocketError("connect", code)
        }
        if classify(code: failure.code, isConnected: false) != .tryLater { failure = problem }
    }
    throw failure
}

/// - Returns: 0, and the descriptor blocks again; or an errno.
private func reach(_ info: addrinfo, by descriptor: Int32, until end: Moment) -> Int32 {
    if connect(descriptor, info.ai_addr, info.ai_addrlen) < 0 {
        guard errno == EINPROGRESS || errno == EINTR else { return errno }
        let waited = waitFor(descriptor, Int32(POLLOUT), until: end)
        if waited != 0 { return waited }
        var verdict: Int32 = 0
        var size = socklen_t(MemoryLayout.size(ofValue: verdict))
        if getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &verdict, &size) < 0 { return errno }
        if verdict != 0 { return verdict }
    }
    let flags = fcntl(descriptor, F_GETFL)
    if flags < 0 || fcntl(descriptor, F_SETFL, flags & ~O_NONBLOCK) < 0 { return errno }
    return 0
}

// MARK: Sending and receiving

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let end = moment(in: timeout)
    var sent = 0
    try bytes.withUnsafeBytes { memory in
        while sent < memory.count {
            var vector = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: memory.baseAddress! + sent), iov_len: memory.count - sent)
            var code: Int32 = 0
            let count = withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                let count = sendmsg(socket, &message, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
                code = errno
                return count
            }
            if count >= 0 {
                sent += count
            } else if code == EAGAIN {
                let waited = waitFor(socket, Int32(POLLOUT), until: end)
                if waited == ETIMEDOUT { throw SendError.timedOut(sent: sent) }
                if waited != 0 { throw SendError.failed(sent: sent, code: waited) }
            } else if code != EINTR {
                throw SendError.failed(sent: sent, code: code)
            }
        }
    }
}

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let end = moment(in: timeout)
    var received = ReceivedInTime([], .complete)
    while received.bytes.count < count {
        var code: Int32 = 0
        let piece = [UInt8](unsafeUninitializedCapacity: min(count - received.bytes.count, 8192)) { room, filled in
            var vector = iovec(iov_base: UnsafeMutableRawPointer(room.baseAddress), iov_len: room.count)
            let got = withUnsafeMutablePointer(to: &vector) { vector in
                var message = msghdr()
                message.msg_iov = vector
                message.msg_iovlen = 1
                let got = recvmsg(socket, &message, Int32(MSG_DONTWAIT))
                code = got < 0 ? errno : 0
                return got
            }
            filled = max(0, got)
        }
        received.bytes += piece
        switch code {
        case 0:
            if piece.isEmpty {
                received.ending = .endOfStream
                return received
            }
        case EINTR: continue
        case EAGAIN:
            let waited = waitFor(socket, Int32(POLLIN), until: end)
            if waited == 0 { continue }
            received.ending = waited == ETIMEDOUT ? .timedOut : .broken(code: waited)
            return received
        default:
            received.ending = .broken(code: code)
            return received
        }
    }
    return received
}
