import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    let deadline = Deadline(in: timeout)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while bytes.count < count {
        let got = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
        if got > 0 {
            bytes += buffer[..<got]
            continue
        }
        if got == 0 { return ReceivedInTime(bytes, .endOfStream) }
        let code = errno
        switch classify(code: code, isConnected: true) {
        case .callAgain: continue
        case .waitUntilReady: break
        default: return ReceivedInTime(bytes, .broken(code: code))
        }
        switch waitUntilReady(socket, for: Int32(POLLIN), before: deadline) {
        case .ready: continue
        case .late: return ReceivedInTime(bytes, .timedOut)
        case .failed(let code): return ReceivedInTime(bytes, .broken(code: code))
        }
    }
    return ReceivedInTime(Array(bytes.prefix(count)), .complete)
}
