import Course
import Foundation
import Sockets

/// Owns what came until it is taken out.
private final class Parcel {
    private(set) var descriptors: [Int32] = []
    func add(_ descriptor: Int32) { descriptors.append(descriptor) }
    func take() -> Int32? { descriptors.count == 1 ? descriptors.removeFirst() : nil }
    func discard() {
        while let descriptor = descriptors.popLast() { close(descriptor) }
    }
}

func sendDescriptor(_ descriptor: Int32, over socket: Int32) throws {
    var control = Data(count: controlSpace(MemoryLayout<Int32>.size))
    let byte = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
    byte.storeBytes(of: 0x2A, as: UInt8.self)
    defer { byte.deallocate() }
    let result = control.withUnsafeMutableBytes { control -> Int in
        // Data promises no alignment.
        let room = UnsafeMutableRawPointer.allocate(byteCount: control.count, alignment: 8)
        defer { room.deallocate() }
        memset(room, 0, control.count)
        while true {
            let count = transfer(byte, 1) { message in
                message.pointee.msg_control = room
                message.pointee.msg_controllen = .init(control.count)
                let header = controlFirst(message)!
                header.pointee.cmsg_level = SOL_SOCKET
                header.pointee.cmsg_type = SCM_RIGHTS
                header.pointee.cmsg_len = .init(controlLength(MemoryLayout<Int32>.size))
                UnsafeMutableRawPointer(controlData(header)!).storeBytes(of: descriptor, as: Int32.self)
                return sendmsg(socket, message, MSG_NOSIGNAL)
            }
            if count >= 0 || errno != EINTR { return count < 0 ? -Int(errno) : count }
        }
    }
    if result < 0 { throw SocketError("sendmsg", Int32(-result)) }
}

func receiveDescriptor(from socket: Int32) throws -> Int32 {
    let size = controlSpace(256 * MemoryLayout<Int32>.size)
    let room = UnsafeMutableRawPointer.allocate(byteCount: size + 1, alignment: 16)
    defer { room.deallocate() }
    let parcel = Parcel()
    defer { parcel.discard() }
    var flags: Int32 = 0
    var count: Int
    repeat {
        count = transfer(room + size, 1) { message in
            message.pointee.msg_control = room
            message.pointee.msg_controllen = .init(size)
            let count = recvmsg(socket, message, MSG_CMSG_CLOEXEC)
            guard count >= 0 else { return count }
            flags = message.pointee.msg_flags
            for header in sequence(first: controlFirst(message), next: { $0.map { controlNext(message, $0) } }) {
                guard let header else { break }
                guard header.pointee.cmsg_level == SOL_SOCKET, header.pointee.cmsg_type == SCM_RIGHTS else { continue }
                let data = UnsafeRawPointer(controlData(header)!)
                for offset in stride(from: 0, to: Int(header.pointee.cmsg_len) - controlLength(0), by: 4) {
                    parcel.add((data + offset).loadUnaligned(as: Int32.self))
                }
            }
            return count
        }
    } while count < 0 && errno == EINTR
    try check("recvmsg", count)
    if flags & MSG_CTRUNC != 0 || parcel.descriptors.count > 1 { throw DescriptorError.unwanted }
    if count == 0 { throw DescriptorError.ended }
    guard let only = parcel.take() else { throw DescriptorError.missing }
    return only
}
