import Course
import Sockets

func broadcast(message: [UInt8], port: UInt16) throws {
    try withDatagramSocket("127.255.255.255", port) { fd, all in
        try mayBroadcast(fd)
        try say(message, on: fd, to: all)
    }
}

func mayBroadcast(_ fd: Int32) throws {
    var one: Int32 = 1
    try check("setsockopt(SO_BROADCAST)", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, 4))
}
