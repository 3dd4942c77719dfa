// One thread, one poll(2), for all that is more than an echo.
import Course
import Sockets

func clockMS() -> Int {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

final class Guest {
    let fd: Int32
    let decoderLimit: Int
    var head: [UInt8]? = []
    lazy var decoder = FrameDecoder(role: .server, limit: decoderLimit)
    var out: [UInt8] = []
    var gone = 0
    var waiting: Int { out.count - gone }
    /// Nothing is decoded any more; what waits is sent, then the end.
    var ending = false
    var heardEnd = false
    var shut: Int?
    var dead = false
    // heartbeat
    var nextPing = 0
    var pings: [(payload: [UInt8], deadline: Int)] = []
    var counter: UInt64 = 0
    var isMember: Bool { head == nil && !ending && !dead }

    init(_ fd: Int32, _ limit: Int) {
        self.fd = fd
        decoderLimit = limit
    }
}

final class PollServer {
    let door: Int32
    var guests: [Guest] = []
    var origins: [String]?
    var page: [UInt8]?
    var limit = Lesson09.messageLimit
    var queueLimit = Int.max
    var onMessage: (Guest, Opcode, [UInt8]) -> Void = { _, _, _ in }
    var onJoin: (Guest) -> Void = { _ in }
    var onPong: (Guest, [UInt8]) -> Void = { _, _ in }
    /// Does what is due; returns when something will be due.
    var onTime: () -> Int? = { nil }
    private var full = false

    init(_ host: String, _ port: UInt16) throws { door = try listening(host, port, flags: SOCK_NONBLOCK) }

    func run() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            var due = onTime()
            guests.removeAll { bury($0) }
            for guest in guests { if let shut = guest.shut { due = min(due ?? .max, shut) } }
            var list = guests.map { guest -> pollfd in
                var events: Int16 = 0
                // A guest whose answers pile up is not asked for more, unless somebody else fills its queue.
                if !guest.heardEnd && (queueLimit < .max || guest.waiting < 1 << 20 || guest.ending) {
                    events |= Int16(POLLIN)
                }
                if guest.waiting > 0 { events |= Int16(POLLOUT) }
                return pollfd(fd: guest.fd, events: events, revents: 0)
            }
            list.append(pollfd(fd: full ? -1 : door, events: Int16(POLLIN), revents: 0))
            var timeout = due.map { Int32(max(0, min($0 - clockMS(), 60_000))) } ?? -1
            if full { timeout = timeout < 0 ? 50 : min(timeout, 50) }
            full = false
            if poll(&list, nfds_t(list.count), timeout) < 0 {
                if errno == EINTR { continue }
                throw SocketError("poll", errno)
            }
            if list[list.count - 1].revents != 0 { acceptAll() }
            for (guest, entry) in zip(guests, list) where entry.revents != 0 && !guest.dead {
                if entry.events & Int16(POLLIN) == 0 && entry.revents & Int16(POLLERR | POLLHUP) != 0 {
                    guest.dead = true
                }
                if entry.revents & Int16(POLLIN | POLLHUP | POLLERR) != 0 && entry.events & Int16(POLLIN) != 0 {
                    let count = recv(guest.fd, &buffer, buffer.count, 0)
                    if count > 0 {
                        if !guest.ending { take(guest, Array(buffer[..<count])) }
                    } else if count == 0 {
                        guest.heardEnd = true
                        guest.ending = true
                    } else if errno != EINTR && errno != EAGAIN {
                        guest.dead = true
                    }
                }
            }
            for guest in guests where guest.waiting > 0 { flush(guest) }
            let now = clockMS()
            for guest in guests where guest.ending && guest.waiting == 0 {
                if guest.heardEnd || now >= (guest.shut ?? .max) {
                    guest.dead = true
                } else if guest.shut == nil {
                    shutdown(guest.fd, SHUT_WR)
                    guest.shut = now + 2000
                }
            }
        }
    }

    private func bury(_ guest: Guest) -> Bool {
        if guest.dead { close(guest.fd) }
        return guest.dead
    }

    private func acceptAll() {
        while true {
            let fd = accept4(door, nil, nil, SOCK_CLOEXEC | SOCK_NONBLOCK)
            if fd >= 0 {
                guests.append(Guest(fd, limit))
            } else if errno == EAGAIN {
                return
            } else if errno != EINTR && errno != ECONNABORTED {
                full = true
                return
            }
        }
    }

    func put(_ guest: Guest, _ frame: [UInt8]) { if !guest.dead && !guest.ending { guest.out += frame } }

    func end(_ guest: Guest, _ code: UInt16?) {
        put(guest, encodeFrame(.close, code.map { [UInt8($0 >> 8), UInt8($0 & 255)] } ?? []))
        guest.ending = true
    }

    func flushNow(_ guest: Guest) { flush(guest) }

    private func flush(_ guest: Guest) {
        while guest.waiting > 0 {
            let count = guest.out.withUnsafeBytes {
                send(guest.fd, $0.baseAddress! + guest.gone, guest.waiting, MSG_NOSIGNAL)
            }
            if count >= 0 {
                guest.gone += count
            } else if errno == EAGAIN {
                break
            } else if errno != EINTR {
                guest.dead = true
                return
            }
        }
        if guest.waiting == 0 || guest.gone > 1 << 18 {
            guest.out.removeFirst(guest.gone)
            guest.gone = 0
        }
        if guest.waiting > queueLimit { guest.dead = true }
    }

    private func take(_ guest: Guest, _ bytes: [UInt8]) {
        if guest.head == nil {
            guest.decoder.feed(bytes)
        } else {
            guest.head! += bytes
            switch serverHandshake(guest.head!, allowedOrigins: origins) {
            case .incomplete: return
            case .refused(let status, let response):
                put(guest, status == 426 ? page ?? response : response)
                guest.ending = true
                return
            case .accepted(let response, let length):
                put(guest, response)
                guest.decoder.feed(Array(guest.head![length...]))
                guest.head = nil
                onJoin(guest)
            }
        }
        do {
            while !guest.ending, let event = try guest.decoder.next() {
                switch event {
                case .text(let payload): onMessage(guest, .text, payload)
                case .binary(let payload): onMessage(guest, .binary, payload)
                case .ping(let payload): put(guest, encodeFrame(.pong, payload))
                case .pong(let payload): onPong(guest, payload)
                case .close(let code, _): end(guest, code)
                }
            }
        } catch {
            end(guest, (error as? WebSocketError)?.closeCode ?? 1011)
        }
    }
}
