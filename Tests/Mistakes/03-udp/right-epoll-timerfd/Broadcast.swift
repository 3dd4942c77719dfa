import Course
import Sockets

func broadcast(message: [UInt8], port: UInt16) throws {
    close(try shout(message, port))
}

/// - Returns: the socket that has sent it.
func shout(_ message: [UInt8], _ port: UInt16) throws -> Int32 {
    var everybody = sockaddr_in()
    everybody.sin_family = sa_family_t(AF_INET)
    everybody.sin_port = port.bigEndian
    everybody.sin_addr.s_addr = UInt32(0x7fff_ffff).bigEndian
    let fd = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    do {
        var yes: Int32 = 1
        try check("setsockopt", setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, 4))
        try withUnsafePointer(to: &everybody) {
            try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                try again("sendto") { sendto(fd, message, message.count, 0, name, 16) }
            }
        }
    } catch {
        close(fd)
        throw error
    }
    return fd
}
