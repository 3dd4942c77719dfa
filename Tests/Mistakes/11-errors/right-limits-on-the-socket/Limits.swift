import Course
import Sockets

func setLimit(_ option: Int32, of socket: Int32, _ limit: Milliseconds) throws {
    var time = timeval(tv_sec: limit / 1000, tv_usec: limit % 1000 * 1000)
    try check("setsockopt", setsockopt(socket, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)))
}

func limited<Result>(_ option: Int32, of socket: Int32, _ body: () throws -> Result) throws -> Result {
    var before = timeval()
    var size = socklen_t(MemoryLayout<timeval>.size)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, option, &before, &size))
    defer { setsockopt(socket, SOL_SOCKET, option, &before, size) }
    return try body()
}
