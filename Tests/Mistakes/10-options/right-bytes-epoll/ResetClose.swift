import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    let refused: (any Error)?
    do {
        try RawOption("SO_LINGER", SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0)).apply(to: socket)
        refused = nil
    } catch { refused = error }
    close(socket)
    if let refused { throw refused }
}
