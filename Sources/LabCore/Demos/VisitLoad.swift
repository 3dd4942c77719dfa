// Clients that come, ask, and leave: for servers that do not serve everybody at once.
import Course
import Foundation
import GraderKit
import Sockets

/// So many clients of one server, each in a connection of its own, driven by one thread.
final class VisitLoad {
    private let address: SocketAddress
    private let clients: Int
    private var connections: [Int32] = []
    private let question = Array("sixteen bytes ..".utf8)
    private let answer = Array("SIXTEEN BYTES ..".utf8)
    /// How long any answer may take (ms).
    private static let patience: Int32 = 5000

    init(to address: SocketAddress, clients: Int) throws {
        self.address = address
        self.clients = clients
    }

    deinit { leave() }

    /// All connect, ask, and stay.
    ///
    /// - Returns: how many of them have their answer when nothing more has come for half a second.
    func answeredAtOnce() throws -> Int {
        for _ in 0..<clients { connections.append(try ask()) }
        var waiting = connections.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var answered = 0
        while answered < clients {
            // The first answer may take long on a busy machine; that no other one follows is what is looked for.
            let ready = poll(&waiting, nfds_t(waiting.count), answered == 0 ? VisitLoad.patience : 500)
            if ready < 0 && errno == EINTR { continue }
            guard ready > 0 else { break }
            for index in waiting.indices where waiting[index].revents != 0 {
                try receive(waiting[index].fd)
                waiting[index].fd = -1
                answered += 1
            }
        }
        guard answered > 0 else { throw late }
        return answered
    }

    func leave() {
        for connection in connections { close(connection) }
        connections = []
    }

    /// Connections a second that come, ask, have their answer, and leave; so many at a time as there are clients.
    func visits(for seconds: Double) throws -> Double {
        let began = now()
        let end = began + UInt64(seconds * 1e9)
        var waiting: [pollfd] = []
        defer { for one in waiting where one.fd >= 0 { close(one.fd) } }
        for _ in 0..<clients { waiting.append(pollfd(fd: try ask(), events: Int16(POLLIN), revents: 0)) }
        var count = 0
        while now() < end {
            let ready = poll(&waiting, nfds_t(waiting.count), VisitLoad.patience)
            if ready < 0 && errno == EINTR { continue }
            guard ready > 0 else { throw late }
            for index in waiting.indices where waiting[index].revents != 0 {
                try receive(waiting[index].fd)
                count += 1
                close(waiting[index].fd)
                waiting[index].fd = -1
                waiting[index].fd = try ask()
            }
        }
        return Double(count) * 1e9 / Double(now() - began)
    }

    /// A new connection, and the question on its way.
    private func ask() throws -> Int32 {
        let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            _ = fcntl(connection, F_SETFD, FD_CLOEXEC)
            // Closed with a reset: thousands of ports in TIME_WAIT would slow down whoever is measured next.
            var linger = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
            var limit = timeval(tv_sec: Int(VisitLoad.patience / 1000), tv_usec: 0)
            setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            try check("connect", address.withSockaddr { connect(connection, $0, $1) })
            guard Sockets.send(connection, question, question.count, MSG_NOSIGNAL) == question.count else {
                throw broken(errno)
            }
            return connection
        } catch {
            close(connection)
            throw error
        }
    }

    private func receive(_ connection: Int32) throws {
        var got: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: answer.count)
        while got.count < answer.count {
            let count = recv(connection, &buffer, answer.count - got.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count < 0 && errno == EAGAIN { throw late }
            guard count > 0 else { throw broken(count == 0 ? ECONNRESET : errno) }
            got += buffer.prefix(count)
        }
        guard got == answer else {
            throw EchoLoad.NoEcho(
                text: say("a wrong answer: ", "回答错了：") + shownText(got, total: got.count, room: 40))
        }
    }

    private var late: EchoLoad.NoEcho {
        let seconds = VisitLoad.patience / 1000
        return EchoLoad.NoEcho(text: say("no answer within \(seconds) s", "\(seconds) 秒内没有回答"))
    }

    private func broken(_ code: Int32) -> EchoLoad.NoEcho {
        EchoLoad.NoEcho(text: say("the connection is broken (\(errorName(code)))", "连接断了（\(errorName(code))）"))
    }
}
