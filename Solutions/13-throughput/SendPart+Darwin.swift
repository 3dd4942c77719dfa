// sendfile(2) of macOS, which has other arguments. Not run on macOS yet.
#if canImport(Darwin)
import Sockets

/// There is no such flag here: sendfile itself takes a header (sf_hdtr), and TCP_NOPUSH holds back.
let moreFollows: Int32 = 0

/// - Returns: how many bytes the socket took, perhaps fewer than `count`; 0 at the end of the file; -1 with errno.
func sendPart(of file: Int32, from offset: Int, count: Int, to socket: Int32) -> Int {
    // In: how many; out: how many went, also if a signal came meanwhile and it says -1.
    var length = off_t(count)
    let result = sendfile(file, socket, off_t(offset), &length, nil, 0)
    return result == 0 || length > 0 ? Int(length) : -1
}
#endif
