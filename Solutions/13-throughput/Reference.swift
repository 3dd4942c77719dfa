import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson13 {
    Lesson13(
        makeBufferedSocket: { socket, capacity in BufferedSocket(socket: socket, capacity: capacity) },
        makeConnectionPool: { host, port, limit, idleLimit in
            try ConnectionPool(host: host, port: port, limit: limit, idleLimit: idleLimit)
        },
        writeVectors: writeVectors,
        sendFile: sendFile)
}
