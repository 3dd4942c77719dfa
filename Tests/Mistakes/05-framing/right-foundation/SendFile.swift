import Course
import Foundation
import Sockets
/// FileHandle for the file, plain loops for the socket.
func sendFile(socket: Int32, path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue else {
        throw CocoaError(.fileNoSuchFile)
    }
    let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    defer { try? handle.close() }
    let size = try handle.seekToEnd()
    try handle.seek(toOffset: 0)
    let name = Data((path as NSString).lastPathComponent.utf8)
    var header = Data()
    withUnsafeBytes(of: UInt16(name.count).bigEndian) { header.append(contentsOf: $0) }
    header.append(name)
    withUnsafeBytes(of: size.bigEndian) { header.append(contentsOf: $0) }
    try put(socket, header)
    var left = size
    while left > 0 {
        guard let data = try handle.read(upToCount: Int(min(left, 100_000))), !data.isEmpty else {
            throw TransferError.cutShort(after: Int(size - left))
        }
        try put(socket, data)
        left -= UInt64(data.count)
    }
}
private func put(_ socket: Int32, _ data: Data) throws {
    var rest = data
    while !rest.isEmpty {
        let n = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if n < 0 { if errno == EINTR { continue }; throw SocketError("send", errno) }
        rest = rest.dropFirst(n)
    }
}
