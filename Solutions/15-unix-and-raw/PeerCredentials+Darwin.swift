// getpeereid(3) for user and group, LOCAL_PEERPID for the process, unix(4). Not run on macOS yet.
#if canImport(Darwin)
import Course
import Sockets

func kernelCredentials(of socket: Int32) throws -> PeerCredentials {
    var (user, group): (uid_t, gid_t) = (0, 0)
    // ENOTCONN, EINVAL: no Unix socket, or nobody there.
    guard getpeereid(socket, &user, &group) == 0 else {
        if errno == ENOTCONN || errno == EINVAL { throw CredentialsError.unknown }
        throw SocketError("getpeereid", errno)
    }
    var process: pid_t = 0
    var length = socklen_t(MemoryLayout<pid_t>.size)
    try check("getsockopt", getsockopt(socket, SOL_LOCAL, LOCAL_PEERPID, &process, &length))
    return PeerCredentials(process: process, user: user, group: group)
}
#endif
