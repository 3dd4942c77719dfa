import Course
import Foundation
import Sockets

func milliseconds() -> Int { Int(ProcessInfo.processInfo.systemUptime * 1000) }

/// A protocol without a socket: bytes in, bytes out.
protocol Conversation {
    mutating func take(_ bytes: [UInt8]) -> [UInt8]
    /// May be asked more than once.
    mutating func stop() -> [UInt8]
    /// What is to be said when nobody has asked, and when.
    mutating func wakeUp() -> [UInt8]
    var alarm: Int? { get }
    /// Nothing was begun.
    var isIdle: Bool { get }
    /// Nothing more will be said.
    var isOver: Bool { get }
}

/// poll, interrupted or not, for one descriptor, without waiting.
func isRinging(_ stop: Int32) -> Bool {
    var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
    var count = poll(&entry, 1, 0)
    while count < 0 && errno == EINTR { count = poll(&entry, 1, 0) }
    return count > 0
}

struct Switchboard<Talk: Conversation> {
    let stop: Int32
    let begin: (_ peer: String) -> Talk

    private struct Line {
        let fd: Int32
        var talk: Talk
        var out: [UInt8] = []
        var sent = 0
        /// Everything was said, and the end as well: until when the client's end is waited for.
        var hungUp: Int?
        var isGone = false

        var isSilent: Bool { sent == out.count }

        mutating func say(_ bytes: [UInt8]) {
            if isSilent {
                out = bytes
                sent = 0
            } else {
                out.append(contentsOf: bytes)
            }
        }

        mutating func flush() {
            while !isSilent && !isGone {
                let count = out.withUnsafeBytes { bytes -> Int in
                    var piece = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + sent),
                        iov_len: bytes.count - sent)
                    return withUnsafeMutablePointer(to: &piece) {
                        var message = msghdr()
                        message.msg_iov = $0
                        message.msg_iovlen = 1
                        return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)
                    }
                }
                if count >= 0 {
                    sent += count
                } else if errno == EAGAIN {
                    return
                } else if errno != EINTR {
                    isGone = true
                }
            }
        }

        /// - Returns: false if there was nothing to receive.
        mutating func receive(_ room: inout [UInt8]) -> Bool {
            while true {
                let count = room.withUnsafeMutableBytes { bytes -> Int in
                    var piece = iovec(iov_base: bytes.baseAddress, iov_len: bytes.count)
                    return withUnsafeMutablePointer(to: &piece) {
                        var message = msghdr()
                        message.msg_iov = $0
                        message.msg_iovlen = 1
                        return recvmsg(fd, &message, MSG_DONTWAIT)
                    }
                }
                if count < 0 && errno == EINTR { continue }
                if count < 0 && errno == EAGAIN { return false }
                if count <= 0 {
                    isGone = true
                } else if hungUp == nil {
                    say(talk.take(Array(room[..<count])))
                }
                return true
            }
        }

        /// Sends what can be sent, and ends what is at its end.
        mutating func settle(isStopping: Bool, _ room: inout [UInt8]) {
            while !isGone {
                flush()
                guard !isGone, isSilent, hungUp == nil else { return }
                if talk.isOver {
                    hangUp()
                } else if isStopping && talk.isIdle {
                    // The client goes first: perhaps it has begun something in the meantime.
                    if receive(&room) { say(talk.stop()) } else { hangUp() }
                } else {
                    return
                }
            }
        }

        private mutating func hangUp() {
            shutdown(fd, SHUT_WR)
            hungUp = milliseconds() + 4000
        }
    }

    func run(host: String, port: UInt16) throws {
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        var isOpen = true
        defer { if isOpen { close(listener) } }
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.stride)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("fcntl", fcntl(listener, F_SETFL, O_NONBLOCK))
        try check("listen", listen(listener, SOMAXCONN))

        var lines: [Line] = []
        defer { for line in lines { close(line.fd) } }
        var room = [UInt8](repeating: 0, count: 50_000)
        var deadline: Int?

        while true {
            var entries = [listener, stop].map { pollfd(fd: isOpen ? $0 : -1, events: Int16(POLLIN), revents: 0) }
            for line in lines {
                entries.append(pollfd(fd: line.fd, events: Int16(line.isSilent ? POLLIN : POLLOUT), revents: 0))
            }
            let due =
                (lines.compactMap { $0.hungUp ?? ($0.talk.isOver ? nil : $0.talk.alarm) } + [deadline].compactMap { $0 })
                .min()
            let timeout = due.map { Int32(clamping: max(0, $0 - milliseconds())) } ?? -1
            if poll(&entries, nfds_t(entries.count), timeout) < 0 {
                guard errno == EINTR else { throw SocketError("poll", errno) }
                continue
            }

            let stops = isOpen && entries[1].revents != 0
            if isOpen && (stops || entries[0].revents != 0) {
                let known = lines.count
                try acceptAll(listener, &lines)
                // They are looked at in the next turn, except at a stop, below.
                entries += lines[known...].map { pollfd(fd: $0.fd, events: 0, revents: 0) }
            }
            if stops {
                close(listener)
                isOpen = false
                deadline = milliseconds() + Lesson16.stopPatience
            }
            let time = milliseconds()
            for index in lines.indices {
                if entries[index + 2].revents != 0 && lines[index].isSilent { _ = lines[index].receive(&room) }
                if !isOpen && lines[index].hungUp == nil { lines[index].say(lines[index].talk.stop()) }
                if lines[index].hungUp == nil, !lines[index].talk.isOver, let alarm = lines[index].talk.alarm,
                    alarm <= time
                {
                    let words = lines[index].talk.wakeUp()
                    if lines[index].isSilent { lines[index].say(words) }
                }
                lines[index].settle(isStopping: !isOpen, &room)
                if let end = lines[index].hungUp, end <= time { lines[index].isGone = true }
                if lines[index].isGone { close(lines[index].fd) }
            }
            lines.removeAll { $0.isGone }
            if let deadline, lines.isEmpty || milliseconds() >= deadline { return }
        }
    }

    private func acceptAll(_ listener: Int32, _ lines: inout [Line]) throws {
        for _ in 0..<8192 {
            let (fd, peer) = SocketAddress.received { accept(listener, $0, $1) }
            if fd >= 0 {
                lines.append(Line(fd: fd, talk: begin(peer?.host ?? "")))
            } else if errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM {
                poll(nil, 0, 30)
                return
            } else if errno == EAGAIN {
                return
            } else if ![EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH].contains(errno) {
                throw SocketError("accept", errno)
            }
        }
    }
}
