import Course
import Sockets

/// Asks the kernel for names, with one piece of room for all of them.
private final class NameReader {
    private let room = UnsafeMutableRawPointer.allocate(
        byteCount: MemoryLayout<sockaddr_storage>.size, alignment: MemoryLayout<sockaddr_storage>.alignment)

    init() { room.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<sockaddr_storage>.size) }
    deinit { room.deallocate() }

    typealias Question = (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32

    /// False if there is no such name.
    func ask(_ call: String, _ descriptor: Int32, _ question: Question) throws -> Bool {
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        if question(descriptor, room.assumingMemoryBound(to: sockaddr.self), &size) == 0 { return true }
        guard errno == ENOTCONN else { throw SocketError(call, errno) }
        return false
    }

    var family: Int32 { Int32(room.load(as: sa_family_t.self)) }

    var text: String {
        switch family {
        case AF_INET: return "\(address(at: 4, size: 4)):\(port)"
        case AF_INET6: return "[\(address(at: 8, size: 16))]:\(port)"
        case AF_UNIX:
            // The path ends at its final zero. Of the longest ones there is none in sun_path, but there is behind it.
            return String(cString: (room + 2).assumingMemoryBound(to: CChar.self))
        default: return ""
        }
    }

    private var port: UInt16 { UInt16(bigEndian: room.load(fromByteOffset: 2, as: UInt16.self)) }

    private func address(at offset: Int, size: Int) -> String {
        let bytes = UnsafeRawBufferPointer(start: room + offset, count: size)
        return (try? formatAddress(Array(bytes))) ?? ""
    }
}

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    var number: Int32 = 0
    var size = socklen_t(4)
    guard getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &number, &size) == 0 else {
        throw SocketError("getsockopt", errno)
    }
    let names = NameReader()
    guard try names.ask("getsockname", descriptor, getsockname) else { throw SocketError("getsockname", ENOTCONN) }
    let local = names.text
    let family = [AF_INET: "IPv4", AF_INET6: "IPv6", AF_UNIX: "Unix"][names.family] ?? "family \(names.family)"
    let peer = try names.ask("getpeername", descriptor, getpeername) ? names.text : nil
    return SocketDescription(
        type: number == SOCK_STREAM ? "stream" : number == SOCK_DGRAM ? "datagram" : "type \(number)",
        family: family, local: local, peer: peer)
}
