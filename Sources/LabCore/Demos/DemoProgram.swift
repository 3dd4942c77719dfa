/// The programs of the lab's own that demos need beside the lessons' exercises: a client that stays connected, a stepper
/// that makes one call at a time, servers that a lesson has none of. They run as a lesson does, in a process of their own
/// under the tap (`lab host demos`), and use the lessons' functions for what those do.
import Course
import Foundation
import Sockets

public struct DemoProgram: LessonContract {
    public static let slug = "demos"

    private let lesson04: Lesson04
    private let lesson05: Lesson05
    /// Lesson 08's file server over lesson 06's select.
    private let selectFileServer: (_ host: String, _ port: UInt16, _ root: String) throws -> Void
    private let sockets = Descriptors()

    public init(
        lesson04: Lesson04, lesson05: Lesson05, lesson08: Lesson08,
        selectFileServer: @escaping (_ host: String, _ port: UInt16, _ root: String) throws -> Void
    ) {
        self.lesson04 = lesson04
        self.lesson05 = lesson05
        self.selectFileServer = selectFileServer
        sockets.client = lesson08.makeClient(ClientOptions(timeout: 5000, redirects: 0, attempts: 1))
    }

    /// What one call of an entry leaves for the next.
    private final class Descriptors {
        var listener: Int32 = -1
        var connection: Int32 = -1
        var decoder: (any MessageDecoder)?
        var client: (any HTTPClient)?
    }

    public var entries: [Entry] { steps + conversations + servers }

    // MARK: One call at a time

    private var steps: [Entry] {
        [
            // host, port, SO_REUSEADDR
            .function("bind") { a in
                sockets.listener = try bound(SOCK_STREAM, try a.string(0), UInt16(try a.int(1)), reuse: try a.bool(2))
                return .none
            },
            // The length of the queue, or as much as the system allows.
            .function("listen") { a in
                try check("listen", listen(sockets.listener, a.isEmpty ? SOMAXCONN : Int32(try a.int(0))))
                return .none
            },
            .function("accept") { _ in
                sockets.connection = try check("accept", retrying { accept(sockets.listener, nil, nil) })
                return .none
            },
            // host, port, how many: connections that are begun, and left as they are until the process ends.
            .function("crowd") { a in
                let address = try SocketAddress(host: try a.string(0), port: UInt16(try a.int(1)))
                for _ in 0..<(try a.int(2)) {
                    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
                    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                    _ = address.withSockaddr { connect(descriptor, $0, $1) }
                }
                return .none
            },
            .function("connect") { a in
                sockets.connection = try connected(try a.string(0), UInt16(try a.int(1)))
                return .none
            },
            // Several messages, a send each, with a pause (ms) between them, or none.
            .function("send") { a in
                let messages = try a.list(0)
                let pause = try a.int(1)
                for index in messages.indices {
                    if index > 0 && pause > 0 { usleep(UInt32(pause) * 1000) }
                    try lesson04.sendAll(sockets.connection, try messages.bytes(index))
                }
                return .none
            },
            // One recv.
            .function("receive") { a in .bytes(try received(try a.int(0))) },
            // As many recvs as it takes to get so many bytes.
            .function("receive-all") { a in
                var parts: [Value] = []
                var missing = try a.int(0)
                while missing > 0 {
                    let part = try received(1024)
                    if part.isEmpty { break }
                    parts.append(.bytes(part))
                    missing -= part.count
                }
                return .list(parts)
            },
            .function("shutdown") { _ in
                try check("shutdown", shutdown(sockets.connection, SHUT_WR))
                return .none
            },
            .function("close") { _ in
                try check("close", close(sockets.connection))
                return .none
            },
            // A close that tells the other side that something is lost (SO_LINGER with time 0, socket(7)).
            .function("reset") { _ in
                var now = linger(l_onoff: 1, l_linger: 0)
                let size = socklen_t(MemoryLayout<linger>.size)
                try check("setsockopt", setsockopt(sockets.connection, SOL_SOCKET, SO_LINGER, &now, size))
                try check("close", close(sockets.connection))
                return .none
            },
            .function("close-listener") { _ in
                try check("close", close(sockets.listener))
                return .none
            },
        ]
    }

    private func received(_ most: Int) throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: most)
        let count = try check("recv", retrying { recv(sockets.connection, &buffer, buffer.count, 0) })
        return Array(buffer.prefix(count))
    }

    // MARK: A client that stays connected

    /// Sent before its answer is awaited: less than the buffers between the two hold, so neither side waits for the other
    /// to read.
    private static let piece = 16_384

    /// Nobody reads more of it on a screen.
    private static let mostOfBody = 65_536

    private var conversations: [Entry] {
        [
            // As many bytes back as were sent: that is how this protocol tells where an answer ends.
            .function("exchange") { a in
                let message = try a.bytes(0)
                var answer: [UInt8] = []
                for start in stride(from: 0, to: message.count, by: DemoProgram.piece) {
                    let piece = Array(message[start..<min(start + DemoProgram.piece, message.count)])
                    try lesson04.sendAll(sockets.connection, piece)
                    answer += try lesson04.receiveExactly(sockets.connection, piece.count)
                }
                return .bytes(answer)
            },
            // All messages as frames in one send; as many frames back.
            .function("exchange-frames") { a in
                let messages = try a.list(0)
                let frames = try messages.indices.map { lesson05.encodeFrame(try messages.bytes($0)) }
                var answers: [Value] = []
                var decoder = sockets.decoder ?? lesson05.makeFrameDecoder(1 << 20)
                for group in DemoProgram.grouped(frames) {
                    try lesson04.sendAll(sockets.connection, group.flatMap { $0 })
                    let wanted = answers.count + group.count
                    while answers.count < wanted {
                        while answers.count < wanted, let answer = try decoder.next() { answers.append(.bytes(answer)) }
                        guard answers.count < wanted else { break }
                        let part = try received(65_536)
                        if part.isEmpty { throw StreamError.ended(received: answers.count) }
                        decoder.feed(part)
                    }
                }
                sockets.decoder = decoder
                return .list(answers)
            },
            // A method and a URL, over a connection that stays open. The answer: the status, a list of fields, the body.
            .function("http-exchange") { a in
                guard var client = sockets.client else { return .none }
                sockets.client = nil
                defer { sockets.client = client }
                var body: [UInt8] = []
                let response = try client.send(ClientRequest(method: try a.string(0), url: try a.string(1))) {
                    body += $0.prefix(DemoProgram.mostOfBody - body.count)
                }
                let fields = response.fields.map { Value.string("\($0.name): \($0.value)") }
                return .list([.string("\(response.status) \(response.reason)"), .list(fields), .bytes(body)])
            },
            .function("leave") { _ in
                try lesson04.closeGracefully(sockets.connection)
                return .none
            },
        ]
    }

    /// Frames that may be sent together without waiting for answers; a long one goes alone.
    private static func grouped(_ frames: [[UInt8]]) -> [[[UInt8]]] {
        var groups: [[[UInt8]]] = []
        var size = 0
        for frame in frames {
            if groups.isEmpty || size + frame.count > piece {
                groups.append([])
                size = 0
            }
            groups[groups.count - 1].append(frame)
            size += frame.count
        }
        return groups
    }

    // MARK: Servers

    private var servers: [Entry] {
        [
            // It serves the folder that it was started in.
            .server("http-select-server") { host, port in
                try selectFileServer(host, port, FileManager.default.currentDirectoryPath)
            },
            // The other side of lesson 03's `request`: the first 8 bytes go back as they came, the rest in upper case.
            .server("numbered-server") { host, port in
                let server = try bound(SOCK_DGRAM, host, port, reuse: false)
                defer { close(server) }
                try answerDatagrams(server) { datagram in
                    guard datagram.count >= 8 else { return nil }
                    return Array(datagram.prefix(8)) + datagram.dropFirst(8).map(uppercased)
                }
            },
            // Somebody to talk to, at the listener that `bind` and `listen` have made.
            .function("chat-peer") { a in
                try chat(
                    greeting: try a.bytes(0), remark: try a.bytes(1), patience: try a.int(2), farewell: try a.bytes(3))
                return .none
            },
            // Hears what is sent to everybody (the first address and port), answers from its own (the second).
            .function("responder") { a in
                let port = UInt16(try a.int(1))
                let ear = try bound(SOCK_DGRAM, try a.string(0), port, reuse: true)
                let heard = port == 0 ? try SocketAddress.local(of: ear).port : port
                let mouth = try bound(SOCK_DGRAM, try a.string(2), heard, reuse: false)
                defer {
                    close(ear)
                    close(mouth)
                }
                let answer = try a.bytes(3)
                try answerDatagrams(ear, from: mouth) { _ in answer }
                return .none
            },
        ]
    }

    /// One visitor: greeted, answered in upper case, and spoken to unasked if it says nothing for `patience` ms.
    private func chat(greeting: [UInt8], remark: [UInt8], patience: Int, farewell: [UInt8]) throws {
        let visitor = try check("accept", retrying { accept(sockets.listener, nil, nil) })
        defer { close(visitor) }
        try lesson04.sendAll(visitor, greeting)
        var hasRemarked = false
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            var event = pollfd(fd: visitor, events: Int16(POLLIN), revents: 0)
            let ready = retrying { poll(&event, 1, hasRemarked ? -1 : Int32(patience)) }
            try check("poll", ready)
            if ready == 0 {
                hasRemarked = true
                try lesson04.sendAll(visitor, remark)
                continue
            }
            let count = try check("recv", retrying { recv(visitor, &buffer, buffer.count, 0) })
            if count == 0 { return try lesson04.sendAll(visitor, farewell) }
            try lesson04.sendAll(visitor, buffer[..<count].map(uppercased))
        }
    }

    private func answerDatagrams(
        _ server: Int32, from mouth: Int32? = nil, _ answer: ([UInt8]) -> [UInt8]?
    ) throws {
        var buffer = [UInt8](repeating: 0, count: 65_535)
        while true {
            let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
            if count < 0 && errno == EINTR { continue }
            try check("recvfrom", count)
            guard let sender, let answer = answer(Array(buffer.prefix(count))) else { continue }
            // An answer that cannot be sent is lost, as any datagram may be.
            _ = sender.withSockaddr { sendto(mouth ?? server, answer, answer.count, 0, $0, $1) }
        }
    }
}

// MARK: Sockets

private func uppercased(_ byte: UInt8) -> UInt8 {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) ? byte - 32 : byte
}

private func bound(_ type: Int32, _ host: String, _ port: UInt16, reuse: Bool) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, type, 0))
    do {
        if reuse {
            var on: Int32 = 1
            try check(
                "setsockopt",
                setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        }
        try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

/// - Parameter host: a numeric address, or an absolute path of the Unix domain.
private func connected(_ host: String, _ port: UInt16) throws -> Int32 {
    let address =
        host.hasPrefix("/") ? try SocketAddress(unixPath: host) : try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        try check("connect", address.withSockaddr { connect(descriptor, $0, $1) })
        return descriptor
    } catch {
        close(descriptor)
        throw error
    }
}

private func retrying<Result: FixedWidthInteger & SignedInteger>(_ call: () -> Result) -> Result {
    while true {
        let result = call()
        if result == -1 && errno == EINTR { continue }
        return result
    }
}
