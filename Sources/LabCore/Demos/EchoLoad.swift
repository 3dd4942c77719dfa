// Clients that keep an upper-case server busy, and count its answers.
import Course
import Foundation
import GraderKit
import Sockets

/// So many connections to one server. A message at a time on each: the next when the answer is there, every byte compared.
final class EchoLoad {
    /// The server has not answered, or not this.
    struct NoEcho: Error {
        var text: String
    }

    private let connections: [Int32]
    private let question = Array("sixteen bytes ..".utf8)
    private let answer = Array("SIXTEEN BYTES ..".utf8)
    /// How long any answer may take (s).
    private static let patience = 5

    /// - Throws: `NoEcho` if one of them is not served.
    init(to address: SocketAddress, clients: Int) throws {
        var made: [Int32] = []
        do {
            for _ in 0..<clients {
                let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
                made.append(connection)
                _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
                var limit = timeval(tv_sec: EchoLoad.patience, tv_usec: 0)
                let size = socklen_t(MemoryLayout<timeval>.size)
                setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
                setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
                try check("connect", address.withSockaddr { connect(connection, $0, $1) })
            }
        } catch {
            for connection in made { close(connection) }
            throw error
        }
        connections = made
        // Accepted, all of them, before anything is measured.
        for connection in connections { try exchange(connection) }
    }

    deinit { for connection in connections { close(connection) } }

    /// Messages a second while the last client talks and the others say nothing.
    func oneTalks(for seconds: Double) throws -> Double {
        let began = now()
        let end = began + UInt64(seconds * 1e9)
        var count = 0
        while now() < end {
            for _ in 0..<16 { try exchange(connections[connections.count - 1]) }
            count += 16
        }
        return Double(count) * 1e9 / Double(now() - began)
    }

    /// Messages a second while all of them talk.
    func allTalk(for seconds: Double) throws -> Double {
        let began = now()
        let end = began + UInt64(seconds * 1e9)
        var events = connections.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        for connection in connections { try send(connection) }
        var count = 0
        var open = connections.count
        while open > 0 {
            let ready = poll(&events, nfds_t(events.count), Int32(EchoLoad.patience * 1000))
            if ready < 0 && errno == EINTR { continue }
            guard ready > 0 else { throw late }
            let isOver = now() >= end
            for index in events.indices where events[index].revents != 0 {
                try receive(events[index].fd)
                count += 1
                if isOver {
                    // Not looked at any more.
                    events[index].fd = -1
                    open -= 1
                } else {
                    try send(events[index].fd)
                }
            }
        }
        return Double(count) * 1e9 / Double(now() - began)
    }

    private func exchange(_ connection: Int32) throws {
        try send(connection)
        try receive(connection)
    }

    private func send(_ connection: Int32) throws {
        // Less than any buffer holds: it goes out at once and whole.
        guard Sockets.send(connection, question, question.count, MSG_NOSIGNAL) == question.count else { throw broken }
    }

    private func receive(_ connection: Int32) throws {
        try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: answer.count) { buffer in
            var count = 0
            while count < answer.count {
                let got = recv(connection, buffer.baseAddress! + count, answer.count - count, 0)
                if got < 0 && errno == EINTR { continue }
                if got < 0 && errno == EAGAIN { throw late }
                guard got > 0 else { throw broken }
                count += got
            }
            guard buffer.elementsEqual(answer) else {
                throw NoEcho(text: say("a wrong answer: \(quotedText(buffer))", "回答错了：\(quotedText(buffer))"))
            }
        }
    }

    private func quotedText(_ bytes: UnsafeMutableBufferPointer<UInt8>) -> String {
        shownText(Array(bytes), total: bytes.count, room: 40)
    }

    private var late: NoEcho {
        NoEcho(text: say("no answer within \(EchoLoad.patience) s", "\(EchoLoad.patience) 秒内没有回答"))
    }

    private var broken: NoEcho {
        let code = errno
        return NoEcho(text: say("the connection is broken (\(errorName(code)))", "连接断了（\(errorName(code))）"))
    }
}
