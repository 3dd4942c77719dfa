// sendfile(2) of macOS. Not run there yet.
#if canImport(Darwin)
import Sockets

/// - Returns: how many bytes the socket took; 0 at the end of the file; -1 with errno.
func sendPart(of file: Int32, from offset: Int, count: Int, to socket: Int32) -> Int {
    var length = off_t(count)
    let result = Sockets.sendfile(file, socket, off_t(offset), &length, nil, 0)
    return result == 0 || length > 0 ? Int(length) : -1
}
#endif
