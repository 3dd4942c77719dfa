import Course
import Sockets

func closeGracefully(_ socket: Int32) throws {
    shutdown(socket, Int32(SHUT_WR))
    var done = false
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: 100_000, alignment: 1)
    while !done {
        var p = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        if poll(&p, 1, -1) <= 0 { continue }
        let n = read(socket, scratch, 100_000)
        if n == 0 { done = true }
        if n < 0 && errno != EINTR && errno != EAGAIN { done = true }
    }
    scratch.deallocate()
    close(socket)
}
