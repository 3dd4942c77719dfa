import Course
import Sockets

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    let all = pieces.flatMap { $0 }
    var sent = 0
    while sent < all.count {
        let count = all[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 && errno == EINTR { continue }
        sent += try check("send", count)
    }
}
