import Course
import Sockets

func sendWithRetry(_ socket: Int32, _ bytes: [UInt8], timeout: Milliseconds) throws {
    let countdown = Countdown(timeout)
    var rest = bytes[...]
    do {
        while !rest.isEmpty {
            let taken = try persist(socket, for: Int32(POLLOUT), countdown) {
                rest.withUnsafeBytes {
                    send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
            }
            rest.removeFirst(taken)
        }
    } catch Waiting.over {
        throw SendError.timedOut(sent: bytes.count - rest.count)
    } catch Waiting.failed(let code) {
        throw SendError.failed(sent: bytes.count - rest.count, code: code)
    }
}
