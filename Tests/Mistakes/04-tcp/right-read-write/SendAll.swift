import Sockets

/// write(2) has no flags, so the process has to ignore SIGPIPE. Once is enough.
let brokenPipesAreErrors: Void = { _ = signal(SIGPIPE, SIG_IGN) }()

func sendAll(_ socket: Int32, _ bytes: [UInt8]) throws {
    _ = brokenPipesAreErrors
    try bytes.withUnsafeBytes { whole in
        var rest = UnsafeRawBufferPointer(whole)
        while !rest.isEmpty {
            let count = write(socket, rest.baseAddress, rest.count)
            if count >= 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            } else if errno != EINTR {
                throw SocketError("write", errno)
            }
        }
    }
}
