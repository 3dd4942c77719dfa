import Dispatch
import Sockets

func client(message: [UInt8], host: String, port: UInt16) throws -> [UInt8] {
    let line = try dial(SocketAddress(host: host, port: port))
    defer { close(line) }
    let question = Question(line, message)
    question.begin()
    do {
        let answer = try listen(to: line)
        try question.finish()
        return answer
    } catch {
        // Nobody will read the rest of the question: a send that waits must come back before the descriptor goes.
        shutdown(line, SHUT_RDWR)
        try? question.finish()
        throw error
    }
}

/// A connected socket. Nothing stays open where there is no connection.
private func dial(_ address: SocketAddress) throws -> Int32 {
    let line = socket(address.family, SOCK_STREAM, 0)
    guard line >= 0 else { throw SocketError("socket", errno) }
    if address.withSockaddr({ connect(line, $0, $1) }) == 0 { return line }
    // A signal does not stop the handshake; it goes on in the kernel, and we wait for its outcome.
    if errno == EINTR && isEstablished(line) { return line }
    let failure = SocketError("connect", errno)
    close(line)
    throw failure
}

private func isEstablished(_ line: Int32) -> Bool {
    var request = pollfd(fd: line, events: Int16(POLLOUT), revents: 0)
    while poll(&request, 1, -1) == -1 {
        guard errno == EINTR else { return false }
    }
    var status: Int32 = -1
    var size = socklen_t(MemoryLayout.size(ofValue: status))
    return getsockopt(line, SOL_SOCKET, SO_ERROR, &status, &size) == 0 && status == 0
}

/// The sending half, on a thread of its own.
private final class Question: @unchecked Sendable {
    private let line: Int32
    private let text: [UInt8]
    private let done = DispatchGroup()
    private var failure: (any Error)?

    init(_ line: Int32, _ text: [UInt8]) {
        self.line = line
        self.text = text
    }

    func begin() {
        DispatchQueue.global().async(group: done) {
            do {
                try sendAll(self.line, self.text)
                try check("shutdown", shutdown(self.line, SHUT_WR))
            } catch {
                self.failure = error
            }
        }
    }

    func finish() throws {
        done.wait()
        if let failure { throw failure }
    }
}

private func listen(to line: Int32) throws -> [UInt8] {
    var heard: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 32_768)
    var count = 1
    while count != 0 {
        count = recv(line, &buffer, buffer.count, 0)
        if count > 0 {
            heard.append(contentsOf: buffer.prefix(count))
        } else if count < 0 && errno != EINTR {
            throw SocketError("recv", errno)
        }
    }
    return heard
}
