import Foundation
import Sockets

/// One conversation: the question goes out on the caller's thread while a second one collects the answer.
private final class Conversation: @unchecked Sendable {
    private let socket: Int32
    private let finished = DispatchSemaphore(value: 0)
    // The collecting thread's, until it has signalled `finished`.
    private var answer: [UInt8] = []
    private var failure: SocketError?

    init(_ socket: Int32) { self.socket = socket }

    func hold(asking message: [UInt8]) throws -> [UInt8] {
        Thread.detachNewThread { self.collect() }
        var asked: (any Error)?
        do {
            try sendAll(socket, message)
            try check("shutdown", shutdown(socket, SHUT_WR))
        } catch {
            asked = error
            // Nothing can be said any more; the other thread should not wait for what will not come.
            if !isGone(error) { shutdown(socket, SHUT_RDWR) }
        }
        finished.wait()
        if let failure { throw failure }
        if let asked { throw asked }
        return answer
    }

    private func isGone(_ error: any Error) -> Bool {
        guard let code = (error as? SocketError)?.code else { return false }
        return [EPIPE, ECONNRESET, ENOTCONN].contains(code)
    }

    private func collect() {
        defer { finished.signal() }
        var room = [UInt8](repeating: 0, count: 32_768)
        while true {
            let count = recv(socket, &room, room.count, 0)
            switch count {
            case 0: return
            case 1...: answer.append(contentsOf: room.prefix(count))
            default:
                if errno == EINTR { continue }
                failure = SocketError("recv", errno)
                // The one who sends may be waiting for room that will never be there.
                shutdown(socket, SHUT_RDWR)
                return
            }
        }
    }
}

func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(connection) }
    try open(connection, to: address)
    return try Conversation(connection).hold(asking: message)
}

private func open(_ connection: Int32, to address: SocketAddress) throws {
    if address.withSockaddr({ connect(connection, $0, $1) }) == 0 { return }
    guard errno == EINTR else { throw SocketError("connect", errno) }
    // The handshake goes on without us. It is over when the socket is writable...
    var waiting = pollfd(fd: connection, events: Int16(POLLOUT), revents: 0)
    while poll(&waiting, 1, -1) == -1 {
        guard errno == EINTR else { throw SocketError("poll", errno) }
    }
    // ...and it went well if there is somebody at the other end now.
    _ = try SocketAddress.peer(of: connection)
}
