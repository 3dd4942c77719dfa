import Course
import Sockets

func connectWithTimeout(host: String, port: UInt16, timeout: Milliseconds) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let connection = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        setNonblocking(connection)
        var waited = 0
        while true {
            if address.withSockaddr({ connect(connection, $0, $1) }) == 0 || errno == EISCONN { break }
            guard [EINPROGRESS, EALREADY, EINTR].contains(errno) else { throw SocketError("connect", errno) }
            guard waited < timeout else { throw SocketError("connect", ETIMEDOUT) }
            usleep(10_000)
            waited += 10
        }
        setNonblocking(connection, false)
        return connection
    } catch {
        close(connection)
        throw error
    }
}
