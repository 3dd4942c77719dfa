// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson13(
        makeBufferedSocket: { socket, capacity in BufferedSocket(socket: socket, capacity: capacity) },
        makeConnectionPool: { host, port, limit, idleLimit in
            try ConnectionPool(host: host, port: port, limit: limit, idleLimit: idleLimit)
        },
        writeVectors: writeVectors,
        sendFile: sendFile))
