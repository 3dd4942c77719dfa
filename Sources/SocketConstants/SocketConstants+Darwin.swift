// Darwin's constants have the types that its calls take. The one that it lacks is given here, as "no such flag":
// there SIGPIPE is turned off on the socket (SO_NOSIGPIPE) instead. Not run on macOS yet.
#if canImport(Darwin)
public var MSG_NOSIGNAL: Int32 { 0 }
#endif
