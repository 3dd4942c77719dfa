import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let server = try WebSocketServer(host: host, port: port)
    server.onEvent = { [unowned server] member, event in
        switch event {
        case .text(let bytes): server.send(.text, bytes, to: member)
        case .binary(let bytes): server.send(.binary, bytes, to: member)
        // A pong that nobody asked for is allowed, and means nothing.
        default: break
        }
    }
    try server.run()
}
