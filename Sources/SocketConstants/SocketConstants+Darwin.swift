// Darwin's constants have the types that its calls take. Those that it lacks are given here: MSG_NOSIGNAL and
// MSG_CMSG_CLOEXEC as "no such flag" (there SIGPIPE is turned off on the socket, SO_NOSIGPIPE, and close-on-exec on with
// fcntl), and TCP_KEEPIDLE, which it calls TCP_KEEPALIVE. Not run on macOS yet.
#if canImport(Darwin)
import Darwin

public var MSG_NOSIGNAL: Int32 { 0 }
public var MSG_CMSG_CLOEXEC: Int32 { 0 }
public var TCP_KEEPIDLE: Int32 { TCP_KEEPALIVE }
#endif
