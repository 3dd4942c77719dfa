// Exercise 15 peer-credentials: ask the kernel who is at the other end.
//
// Calls that you need: getsockopt(2) with SO_PEERCRED, which writes a `ucred` (unix(7)). On macOS: getpeereid(3), and
// LOCAL_PEERPID at level SOL_LOCAL.
// PeerCredentials and CredentialsError are in Sources/Course/Lesson15.swift.
// Read: Lessons/15-unix-and-raw/README.md#who-is-there      Check: lab check 15 peer-credentials
import Course
import Sockets

/// - Throws: `CredentialsError.unknown` if the kernel knows nobody there, `SocketError` if it is no socket.
func peerCredentials(of socket: Int32) throws -> PeerCredentials {
    // Step 1: a ucred, its size in a socklen_t, getsockopt(socket, SOL_SOCKET, SO_PEERCRED, …).
    todo("step 1: ask for SO_PEERCRED")

    // Step 2: of a TCP socket, or one that is not connected, Linux says process 0 and user -1, and no error.
}
