// Exercise 04 uppercase-server: answer every byte in upper case, one client after another.
//
// Calls that you need: socket(2), setsockopt(2), bind(2), listen(2), accept(2), recv(2), send(2), close(2).
// Read: Lessons/04-tcp/README.md#the-upper-case-server      Check: lab check 04 uppercase-server
import Course
import Sockets

/// Runs until the process ends.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }

    // Step 4: for ever: accept a client (nil, nil: its address is not needed) and serve it.
    //     accept can fail because of a signal, or because that client has already gone (EINTR, ECONNABORTED): go on.
    todo("step 4: accept clients, and serve each")
}

/// The listening socket. Your other two servers can use this function, too.
func makeListener(host: String, port: UInt16) throws -> Int32 {
    // Step 1: make a stream socket of the address's family. Set SO_REUSEADDR, or you will wait a minute at each restart:
    //     var on: Int32 = 1
    //     setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    todo("step 1: make a stream socket")

    // Step 2: bind it to the address:  address.withSockaddr { bind(listener, $0, $1) }

    // Step 3: listen, with a queue as long as the system permits (SOMAXCONN), and return it. If anything fails on the way,
    //     close the socket before you throw: your caller has none to close.
}

/// One client, from its first byte to its end. Your other two servers can use this function, too.
func serve(_ connection: Int32) {
    // Step 5: receive what is there, turn a…z into A…Z, send all of it back; again, until recv returns 0. All bytes but
    //     a…z stay as they are. Then close the connection, also when it breaks: it is this client's end, not the server's.
    todo("step 5: answer until the client ends its side")
}
