import Foundation
import Sockets

func iterativeServer(host: String, port: UInt16) throws {
    try Listener(host, port).forEach { $0.serve() }
}

/// Open for as long as somebody holds it.
final class Listener {
    let number: Int32

    init(_ host: String, _ port: UInt16, waits: Bool = true) throws {
        let address = try SocketAddress(host: host, port: port)
        let number = try check("socket", socket(address.family, SOCK_STREAM | (waits ? 0 : SOCK_NONBLOCK), 0))
        self.number = number
        // From here on deinit closes it, also when we throw.
        var on: Int32 = 1
        try check("setsockopt", setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(number, $0, $1) })
        try check("listen", listen(number, SOMAXCONN))
    }

    deinit { close(number) }

    enum Answer {
        case guest(Guest)
        case nobodyThere
        case askAgain
        case full
    }

    func ask(waits: Bool = true) throws -> Answer {
        let guest = accept4(number, nil, nil, waits ? 0 : SOCK_NONBLOCK)
        if guest >= 0 { return .guest(Guest(guest)) }
        switch errno {
        case EAGAIN: return .nobodyThere
        case EINTR, ECONNABORTED, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENONET, EPERM:
            return .askAgain
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .full
        case let code: throw SocketError("accept4", code)
        }
    }

    func forEach(_ body: (Guest) -> Void) throws {
        while true {
            switch try ask() {
            case .guest(let guest): body(guest)
            case .nobodyThere, .askAgain: break
            case .full: Thread.sleep(forTimeInterval: 0.05)
            }
        }
    }
}

/// A connection that can be shut down from elsewhere, but not once it is closed.
final class Guest: @unchecked Sendable {
    let number: Int32
    private let lock = NSLock()
    private var isClosed = false

    init(_ number: Int32) { self.number = number }

    func end(_ how: Int32) { lock.withLock { if !isClosed { shutdown(number, how) } } }

    func leave() {
        lock.withLock {
            if isClosed { return }
            isClosed = true
            close(number)
        }
    }

    enum Turn {
        case said([UInt8])
        case silent
        case gone
    }

    func hear() -> Turn {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            switch recv(number, &buffer, buffer.count, 0) {
            case let count where count > 0: return .said(Array(buffer[..<count]))
            case 0: return .gone
            default:
                if errno == EAGAIN { return .silent }
                if errno != EINTR { return .gone }
            }
        }
    }

    /// How many bytes were taken: nil if nobody takes them any more.
    func tell(_ bytes: ArraySlice<UInt8>) -> Int? {
        while true {
            let count = bytes.withUnsafeBytes { send(number, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count >= 0 { return count }
            if errno == EAGAIN { return 0 }
            if errno != EINTR { return nil }
        }
    }

    /// For sockets that wait. Closes it.
    func serve() {
        defer { leave() }
        while case .said(let bytes) = hear() {
            var answer = loud(bytes)[...]
            while !answer.isEmpty {
                guard let count = tell(answer) else { return }
                answer.removeFirst(count)
            }
        }
    }
}

func loud(_ bytes: [UInt8]) -> [UInt8] {
    bytes.map { 0x61 <= $0 && $0 <= 0x7A ? $0 & 0x5F : $0 }
}
