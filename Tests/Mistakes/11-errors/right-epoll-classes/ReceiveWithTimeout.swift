import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    let countdown = Countdown(timeout)
    var bytes: [UInt8] = []
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, min(count, 16_384)), alignment: 1)
    defer { room.deallocate() }
    do throws(Waiting) {
        while bytes.count < count {
            let wanted = min(room.count, count - bytes.count)
            let got = try persist(socket, for: Int32(POLLIN), countdown) {
                recv(socket, room.baseAddress, wanted, Int32(MSG_DONTWAIT))
            }
            if got == 0 { return ReceivedInTime(bytes, .endOfStream) }
            bytes.append(contentsOf: room[..<got])
        }
        return ReceivedInTime(bytes, .complete)
    } catch {
        switch error {
        case .over: return ReceivedInTime(bytes, .timedOut)
        case .failed(let code): return ReceivedInTime(bytes, .broken(code: code))
        }
    }
}
