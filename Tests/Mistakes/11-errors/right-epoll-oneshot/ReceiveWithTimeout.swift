import Course
import Sockets

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) throws -> ReceivedInTime {
    let collector = Collector(socket, wanted: count, until: Moment.now.after(timeout))
    defer { collector.finish() }
    let ending = collector.run()
    return ReceivedInTime(collector.bytes, ending)
}

private final class Collector {
    private(set) var bytes: [UInt8] = []
    private let socket: Int32
    private let wanted: Int
    private let watch: ReadinessWatch
    private let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 20_000, alignment: 16)

    init(_ socket: Int32, wanted: Int, until end: Moment) {
        self.socket = socket
        self.wanted = wanted
        watch = ReadinessWatch(socket, forWriting: false, until: end)
    }

    deinit { room.deallocate() }

    func finish() { watch.dispose() }

    func run() -> ReceivedInTime.Ending {
        while bytes.count < wanted {
            let (count, code) = take(min(room.count, wanted - bytes.count))
            if count > 0 {
                bytes.append(contentsOf: room[..<count])
            } else if count == 0 {
                return .endOfStream
            } else if code == EAGAIN {
                switch watch.wait() {
                case .ready: continue
                case .late: return .timedOut
                case .failed(let code): return .broken(code: code)
                }
            } else if code != EINTR {
                return .broken(code: code)
            }
        }
        return .complete
    }

    private func take(_ limit: Int) -> (Int, Int32) {
        var piece = iovec(iov_base: room.baseAddress, iov_len: limit)
        return withUnsafeMutablePointer(to: &piece) { piece in
            var message = msghdr()
            message.msg_iov = piece
            message.msg_iovlen = 1
            let count = recvmsg(socket, &message, MSG_DONTWAIT)
            return (count, errno)
        }
    }
}
