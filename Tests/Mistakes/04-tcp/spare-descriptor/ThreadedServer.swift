import Course
import Foundation
import Sockets

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    // One descriptor is kept in reserve, for the day when all others are taken.
    var reserve = openReserve()
    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            Thread { serve(connection) }.start()
            continue
        }
        let reason = errno
        switch reason {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH:
            break
        case EMFILE, ENFILE:
            guard reserve >= 0 else {
                usleep(50_000)
                reserve = openReserve()
                break
            }
            // Who waits in the queue is told at once that there is no room, and the queue does not wake us again and again.
            close(reserve)
            let surplus = accept(listener, nil, nil)
            if surplus >= 0 { close(surplus) }
            reserve = openReserve()
        case ENOBUFS, ENOMEM:
            usleep(50_000)
        default:
            throw SocketError("accept", reason)
        }
    }
}

private func openReserve() -> Int32 {
    open("/dev/null", O_RDONLY | O_CLOEXEC)
}
