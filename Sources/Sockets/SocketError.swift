/// A system call that returned -1: which one, and why.
///
/// `errno` belongs to the thread and the next call may change it, so it is read here at once.
public struct SocketError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call as the man page names it: `bind`, `recvfrom`.
    public var call: String
    /// The value of `errno`: `EADDRINUSE`, `ECONNREFUSED` (errno(3)).
    public var code: Int32

    public init(_ call: String, _ code: Int32) {
        self.call = call
        self.code = code
    }

    /// `bind: Address already in use (EADDRINUSE)`
    public var description: String { "\(call): \(errorText(code)) (\(errorName(code)))" }
}

/// Returns the result of a system call, or throws what `errno` said if the result is -1.
///
///     let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
///
/// It does not retry: whether `EINTR` means "again" depends on the call, and that is one of the things to learn.
@discardableResult
public func check<Result: FixedWidthInteger & SignedInteger>(
    _ call: String, _ result: Result
) throws -> Result {
    guard result == -1 else { return result }
    throw SocketError(call, errno)
}

/// What errno(3) calls the number: 98 is `EADDRINUSE` on Linux.
public func errorName(_ code: Int32) -> String {
    errorNames.first { $0.code == code }?.name ?? "errno \(code)"
}

/// The system's sentence for the number: "Address already in use" (strerror(3)).
public func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }

/// The numbers that the socket calls give back. `EWOULDBLOCK` is `EAGAIN` on Linux and macOS.
private let errorNames: [(code: Int32, name: String)] = [
    (EACCES, "EACCES"), (EADDRINUSE, "EADDRINUSE"), (EADDRNOTAVAIL, "EADDRNOTAVAIL"),
    (EAFNOSUPPORT, "EAFNOSUPPORT"), (EAGAIN, "EAGAIN"), (EALREADY, "EALREADY"), (EBADF, "EBADF"),
    (ECHILD, "ECHILD"), (ECONNABORTED, "ECONNABORTED"), (ECONNREFUSED, "ECONNREFUSED"), (ECONNRESET, "ECONNRESET"),
    (EDESTADDRREQ, "EDESTADDRREQ"), (EDOM, "EDOM"), (EEXIST, "EEXIST"), (EFAULT, "EFAULT"),
    (EHOSTUNREACH, "EHOSTUNREACH"),
    (EINPROGRESS, "EINPROGRESS"), (EINTR, "EINTR"), (EINVAL, "EINVAL"), (EIO, "EIO"), (EISCONN, "EISCONN"),
    (EMFILE, "EMFILE"), (EMSGSIZE, "EMSGSIZE"), (ENAMETOOLONG, "ENAMETOOLONG"), (ENETDOWN, "ENETDOWN"),
    (ENETUNREACH, "ENETUNREACH"), (ENFILE, "ENFILE"), (ENOBUFS, "ENOBUFS"), (ENODEV, "ENODEV"),
    (ENOENT, "ENOENT"), (ENOMEM, "ENOMEM"), (ENOPROTOOPT, "ENOPROTOOPT"), (ENOTCONN, "ENOTCONN"),
    (ENOTSOCK, "ENOTSOCK"), (EOPNOTSUPP, "EOPNOTSUPP"), (EPERM, "EPERM"), (EPIPE, "EPIPE"), (EPROTO, "EPROTO"),
    (EPROTONOSUPPORT, "EPROTONOSUPPORT"), (EPROTOTYPE, "EPROTOTYPE"), (ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
    (ETIMEDOUT, "ETIMEDOUT"),
    // Files (lesson 05).
    (EFBIG, "EFBIG"), (EISDIR, "EISDIR"), (ENOSPC, "ENOSPC"), (ENOTDIR, "ENOTDIR"), (EROFS, "EROFS"), (EXDEV, "EXDEV"),
]
