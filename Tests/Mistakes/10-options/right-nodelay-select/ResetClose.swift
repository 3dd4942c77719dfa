import Course
import Sockets

func resetClose(_ socket: Int32) throws {
    do {
        try Setter(socket: socket).linger(.seconds(0))
    } catch {
        close(socket)
        throw error
    }
    close(socket)
}
