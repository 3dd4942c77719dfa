import Course
import Foundation
import Solution09
import Sockets

private struct Peer {
    var request: [UInt8] = []
    var decoder: (any WebSocketDecoder)?
    var out: ArraySlice<UInt8> = []
    var sentClose = false
    var hasEnded = false  // it said close, or its side has ended: nothing more is expected but the end
    var lingers = false
    var until: Int? = nil
    var ping = Int.max
    var interest: UInt32 = 0
}

private func now() -> Int {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check(
        "socket", socket(address.family, SOCK_STREAM | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0))
    var listens = true
    defer { if listens { close(listener) } }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(4)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    let ep = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
    defer { close(ep) }

    func control(_ operation: Int32, _ fd: Int32, _ interest: UInt32) {
        var event = epoll_event()
        event.events = interest
        event.data.fd = fd
        epoll_ctl(ep, operation, fd, &event)
    }
    let reading: UInt32 = 1
    let writing: UInt32 = 4
    control(1, listener, reading)
    control(1, stop, reading)

    var peers: [Int32: Peer] = [:]
    defer { for fd in peers.keys { close(fd) } }
    let interval = max(1, proxyTimeout / 30)
    var stopEnd = Int.max
    var pausedUntil = Int.max
    var events = [epoll_event](repeating: epoll_event(), count: 64)
    var buffer = [UInt8](repeating: 0, count: 65_536)

    func frame(_ opcode: Opcode, _ payload: [UInt8]) -> [UInt8] {
        Solution09.reference.encodeFrame(opcode, payload, true, nil)
    }
    func closeFrame(_ code: UInt16) -> [UInt8] { frame(.close, [UInt8(code >> 8), UInt8(code & 255)]) }
    func drop(_ fd: Int32) {
        peers[fd] = nil
        close(fd)
    }

    func admit() {
        while listens {
            let fd = accept4(listener, nil, nil, Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue))
            if fd >= 0 {
                peers[fd] = Peer(interest: reading)
                control(1, fd, reading)
                continue
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: return
            default:
                control(2, listener, 0)
                pausedUntil = now() + 50
                return
            }
        }
    }

    /// Everything that the decoder has, as long as the answers go out. False: the connection is over.
    func understand(_ p: inout Peer) {
        while p.out.isEmpty, !p.hasEnded, p.decoder != nil {
            do {
                guard let event = try p.decoder!.next() else { return }
                if p.sentClose {
                    if case .close = event { p.hasEnded = true }
                    continue
                }
                switch event {
                case .text(let t): p.out = frame(.text, t)[...]
                case .binary(let b): p.out = frame(.binary, b)[...]
                case .ping(let b): p.out = frame(.pong, b)[...]
                case .pong: break
                case .close(let code, _):
                    p.out = code.map { closeFrame($0) }?[...] ?? frame(.close, [])[...]
                    p.sentClose = true
                    p.hasEnded = true
                }
            } catch {
                if !p.sentClose { p.out = closeFrame((error as? WebSocketError)?.closeCode ?? 1002)[...] }
                p.sentClose = true
                p.hasEnded = true
            }
        }
    }

    func serve(_ fd: Int32, _ isReadable: Bool) {
        guard var p = peers[fd] else { return }
        var mayRead = isReadable
        while true {
            while !p.out.isEmpty {
                let n = p.out.withUnsafeBytes { send(fd, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
                if n >= 0 {
                    p.out.removeFirst(n)
                } else if errno == EAGAIN {
                    break
                } else if errno != EINTR {
                    return drop(fd)
                }
            }
            if !p.out.isEmpty { break }
            if stopEnd != .max && !p.sentClose && p.decoder != nil {
                p.out = closeFrame(1001)[...]
                p.sentClose = true
                continue
            }
            understand(&p)
            if !p.out.isEmpty { continue }
            if p.hasEnded && !p.lingers {
                p.lingers = true
                shutdown(fd, SHUT_WR)
                p.until = now() + 2000
            }
            guard mayRead else { break }
            mayRead = false
            let n = recv(fd, &buffer, buffer.count, 0)
            if n < 0 {
                if errno == EINTR { mayRead = true; continue }
                if errno == EAGAIN { break }
                return drop(fd)
            }
            if n == 0 { return drop(fd) }
            if p.lingers { continue }
            if p.decoder != nil {
                p.decoder!.feed(Array(buffer[..<n]))
                continue
            }
            p.request += buffer[..<n]
            switch Solution09.reference.serverHandshake(p.request, nil) {
            case .incomplete: break
            case .refused(_, let response):
                p.out = response[...]
                p.hasEnded = true
            case .accepted(let response, let length):
                p.out = response[...]
                p.decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
                p.decoder!.feed(Array(p.request[length...]))
                p.request = []
                p.ping = now() + interval
            }
        }
        let wanted = p.out.isEmpty ? reading : writing
        if wanted != p.interest {
            p.interest = wanted
            control(3, fd, wanted)
        }
        peers[fd] = p
    }

    while true {
        var next = min(stopEnd, pausedUntil)
        for p in peers.values {
            next = min(next, p.until ?? Int.max)
            if !p.sentClose { next = min(next, p.ping) }
        }
        let wait = next == .max ? -1 : Int32(max(0, next - now()))
        let count = epoll_wait(ep, &events, 64, wait)
        if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
        for event in events.prefix(Int(max(0, count))) {
            let fd = event.data.fd
            if fd == listener {
                admit()
            } else if fd == stop {
                admit()
                close(listener)
                listens = false
                pausedUntil = .max
                control(2, stop, 0)
                stopEnd = now() + Lesson16.stopPatience
                for fd in Array(peers.keys) {
                    serve(fd, true)
                    if let p = peers[fd], p.decoder == nil { drop(fd) }
                }
            } else {
                serve(fd, event.events & ~writing != 0)
            }
        }
        let time = now()
        if time >= stopEnd { return }
        if stopEnd != .max && peers.isEmpty { return }
        if time >= pausedUntil {
            pausedUntil = .max
            control(1, listener, reading)
        }
        for (fd, p) in peers {
            if let until = p.until, time >= until { drop(fd); continue }
            if !p.sentClose && time >= p.ping {
                peers[fd]!.ping = time + interval
                if p.out.isEmpty {
                    peers[fd]!.out = frame(.ping, [])[...]
                    serve(fd, false)
                }
            }
        }
    }
}
