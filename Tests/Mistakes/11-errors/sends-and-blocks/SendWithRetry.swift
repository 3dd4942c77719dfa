import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let deadline = Deadline(in: timeout)
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
            send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL)
        }
        if count >= 0 {
            sent += count
            continue
        }
        let code = errno
        switch classify(code: code, isConnected: true) {
        case .callAgain: continue
        case .waitUntilReady: try waitForRoom(socket, sent: sent, before: deadline)
        default: throw SendError.failed(sent: sent, code: code)
        }
    }
}

private func waitForRoom(_ socket: Int32, sent: Int, before deadline: Deadline) throws {
    switch waitUntilReady(socket, for: Int32(POLLOUT), before: deadline) {
    case .ready: return
    case .late: throw SendError.timedOut(sent: sent)
    case .failed(let code): throw SendError.failed(sent: sent, code: code)
    }
}
