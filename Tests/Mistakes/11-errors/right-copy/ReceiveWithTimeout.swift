import Course
import Sockets

/// A descriptor of our own for the caller's socket, which stays the same even if the caller closes his meanwhile.
private final class Loan {
    let descriptor: Int32
    let code: Int32

    init(of socket: Int32) {
        let copy = fcntl(socket, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            (descriptor, code) = (-1, errno)
            return
        }
        (descriptor, code) = (copy, 0)
    }

    func giveBack() { if descriptor >= 0 { close(descriptor) } }
}

func receiveWithTimeout(_ socket: Int32, count: Int, timeout: Milliseconds) -> ReceivedInTime {
    let deadline = Deadline(in: timeout)
    let loan = Loan(of: socket)
    defer { loan.giveBack() }
    if loan.code != 0 { return ReceivedInTime([], .broken(code: loan.code)) }

    var bytes: [UInt8] = []
    var room = [UInt8](repeating: 0, count: 4096)
    while bytes.count < count {
        let got = recv(loan.descriptor, &room, min(room.count, count - bytes.count), Int32(MSG_DONTWAIT))
        let code = got < 0 ? errno : 0
        switch (got, code) {
        case (1..., _): bytes += room.prefix(got)
        case (0, _): return ReceivedInTime(bytes, .endOfStream)
        case (_, EINTR): break
        case (_, EAGAIN):
            switch waitUntilReady(loan.descriptor, for: Int32(POLLIN), before: deadline) {
            case .ready: break
            case .late: return ReceivedInTime(bytes, .timedOut)
            case .failed(let code): return ReceivedInTime(bytes, .broken(code: code))
            }
        default: return ReceivedInTime(bytes, .broken(code: code))
        }
    }
    return ReceivedInTime(bytes, .complete)
}
