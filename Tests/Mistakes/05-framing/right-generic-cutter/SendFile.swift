import Course
import Foundation
import Sockets

func sendFile(socket: Int32, path: String) throws {
    let source = try SourceFile(path: path)
    defer { source.close() }
    let stream = Stream(descriptor: socket)
    let name = Array(
        path.utf8.suffix(from: path.utf8.lastIndex(of: 47).map { path.utf8.index(after: $0) } ?? path.utf8.startIndex))
    let header = prefix(UInt16(name.count)) + name + prefix(UInt64(source.size))

    // The first piece is read before the header goes: a file that cannot be read is found out in time.
    var piece = try source.nextPiece()
    try stream.send([header, piece])
    while source.left > 0 {
        piece = try source.nextPiece()
        try stream.send([piece])
    }
}

private final class SourceFile {
    private let descriptor: Int32
    let size: Int
    private(set) var left: Int

    init(path: String) throws {
        descriptor = try check("open", open(path, O_RDONLY | O_CLOEXEC))
        var facts = stat()
        let code = fstat(descriptor, &facts) == 0 ? (facts.st_mode & S_IFMT == S_IFREG ? 0 : EISDIR) : errno
        size = Int(facts.st_size)
        left = size
        if code != 0 {
            close()
            throw SocketError("open", code)
        }
    }

    func close() { _ = Glibc.close(descriptor) }

    /// - Returns: bytes, unless none are left of the size that the file had.
    func nextPiece() throws -> [UInt8] {
        var room = [UInt8](repeating: 0, count: min(left, 65_536))
        if room.isEmpty { return [] }
        while true {
            let got = room.withUnsafeMutableBytes { memory in
                var vector = iovec(iov_base: memory.baseAddress, iov_len: memory.count)
                return readv(descriptor, &vector, 1)
            }
            if got < 0 && errno == EINTR { continue }
            if try check("readv", got) == 0 { throw TransferError.cutShort(after: size - left) }
            left -= got
            return Array(room.prefix(got))
        }
    }
}
