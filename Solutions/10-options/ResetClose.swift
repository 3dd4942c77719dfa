import Course
import Sockets

/// With a linger time of 0, close drops what has not been delivered and sends RST instead of FIN (socket(7), SO_LINGER). The
/// peer sees ECONNRESET, never a clean end, and no TIME_WAIT stays behind on our side.
func resetClose(_ socket: Int32) throws {
    // Whatever happens, the descriptor is ours to close, and no shutdown comes before it: that would send FIN.
    defer { close(socket) }
    try set(socket, SOL_SOCKET, SO_LINGER, "SO_LINGER", to: linger(l_onoff: 1, l_linger: 0))
}
