import Course
import Foundation
import Sockets
/// fopen for the file, FileManager for the rest, one byte buffer from the stack.
func receiveFile(socket: Int32, folder: String) throws -> String {
    let nameLength = try exactly(socket, 2)
    let nameData = try exactly(socket, Int(nameLength[0]) * 256 + Int(nameLength[1]))
    let sizeData = try exactly(socket, 8)
    var size: UInt64 = 0
    for b in sizeData { size = size * 256 + UInt64(b) }
    guard let name = String(bytes: nameData, encoding: .utf8), name != "", name != ".", name != "..",
        !nameData.contains(47), !nameData.contains(0)
    else { throw TransferError.badName }
    let temporary = folder + "/" + UUID().uuidString + ".tmp"
    guard let file = fopen(temporary, "wxe") else { throw SocketError("fopen", errno) }
    var open = true
    defer { if open { fclose(file) }; remove(temporary) }
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: 4096, alignment: 1)
    defer { buffer.deallocate() }
    var left = size
    while left > 0 {
        let n = recv(socket, buffer, left > 4096 ? 4096 : Int(left), 0)
        if n == 0 { throw TransferError.cutShort(after: Int(size - left)) }
        if n < 0 { if errno == EINTR { continue }; throw SocketError("recv", errno) }
        guard fwrite(buffer, 1, n, file) == n else { throw SocketError("fwrite", errno) }
        left -= UInt64(n)
    }
    open = false
    guard fclose(file) == 0 else { throw SocketError("fclose", errno) }
    guard rename(temporary, folder + "/" + name) == 0 else { throw SocketError("rename", errno) }
    return name
}
private func exactly(_ socket: Int32, _ count: Int) throws -> [UInt8] {
    var out: [UInt8] = []
    while out.count < count {
        var part = [UInt8](repeating: 0, count: count - out.count)
        let n = read(socket, &part, part.count)
        if n == 0 { throw TransferError.cutShort(after: 0) }
        if n < 0 { if errno == EINTR { continue }; throw SocketError("read", errno) }
        out += part[..<n]
    }
    return out
}
