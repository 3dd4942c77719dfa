import Course
import Sockets

func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    let peer: ucred = try option(SO_PEERCRED, of: socket, initial: ucred())
    switch (peer.pid, peer.uid) {
    case (1..., 0..<UInt32.max): return PeerCredentials(process: peer.pid, user: peer.uid, group: peer.gid)
    default: throw CredentialsError.unknown
    }
}

/// Any option of a socket, as what it is.
func option<Value>(_ name: Int32, of socket: Int32, initial: Value) throws -> Value {
    var value = initial
    var length = socklen_t(MemoryLayout<Value>.size)
    try check("getsockopt", getsockopt(socket, SOL_SOCKET, name, &value, &length))
    return value
}
