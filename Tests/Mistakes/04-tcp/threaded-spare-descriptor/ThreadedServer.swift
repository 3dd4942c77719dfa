import Foundation
import Sockets

/// A pthread for each client. One descriptor is kept in reserve for the moment in which all others are taken: without it a
/// client could not even be told that there is no room.
func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var spare = Spare()
    defer { spare.release() }

    while true {
        let connection = accept(listener, nil, nil)
        if connection >= 0 {
            handOver(connection)
            continue
        }
        let reason = errno
        switch reason {
        case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH:
            break
        case EMFILE, ENFILE:
            // On Linux accept says so even when nobody is waiting: see first.
            var queue = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            if poll(&queue, 1, 50) > 0 {
                spare.release()
                let surplus = accept(listener, nil, nil)
                if surplus >= 0 { close(surplus) }
                spare.acquire()
                if surplus < 0 { poll(nil, 0, 50) }
            }
        case ENOBUFS, ENOMEM:
            poll(nil, 0, 50)
        default:
            throw SocketError("accept", reason)
        }
    }
}

private struct Spare {
    private var descriptor: Int32 = -1

    init() { acquire() }

    mutating func acquire() {
        if descriptor < 0 { descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }

    mutating func release() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}

/// From here on the connection belongs to the thread; if there is none, its end is here.
private func handOver(_ connection: Int32) {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 256 * 1024)

    var thread = pthread_t()
    // The number itself travels in the pointer: nothing shared, nothing to free. (+1: a null pointer would be no number.)
    let ticket = UnsafeMutableRawPointer(bitPattern: Int(connection) + 1)
    let failed = pthread_create(
        &thread, &attributes,
        { ticket in
            serve(Int32(Int(bitPattern: ticket) - 1))
            return nil
        }, ticket)
    if failed != 0 { close(connection) }
}
