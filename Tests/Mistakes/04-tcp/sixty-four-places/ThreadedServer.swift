// Exercise 04 threaded-server
import Course
import Foundation
import Sockets

/// A thread for each client. A thread costs a stack, so there is an upper bound: as many as places. Who comes when all are
/// taken waits in the listener's queue, as with the other server.
private final class ThreadPerClient: @unchecked Sendable {
    private let listener: Int32
    private let places = DispatchSemaphore(value: 64)

    init(listener: Int32) { self.listener = listener }

    func run() throws -> Never {
        while true {
            places.wait()
            let connection = try next()
            Thread.detachNewThread {
                serve(connection)
                self.places.signal()
            }
        }
    }

    private func next() throws -> Int32 {
        while true {
            let connection = accept(listener, nil, nil)
            if connection >= 0 { return connection }
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: break
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: Thread.sleep(forTimeInterval: 0.05)
            case let reason: throw SocketError("accept", reason)
            }
        }
    }
}

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    try ThreadPerClient(listener: listener).run()
}
