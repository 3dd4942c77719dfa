import Course
import Sockets

/// How much of a file is in memory at a time.
let pieceSize = 32_768

func sendFile(socket: Int32, path: String) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    let announced = try regularSize(of: file)

    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let name = Array(slash.map { path.utf8[path.utf8.index(after: $0)...] } ?? path.utf8[...])
    try sendAll(socket, bigEndian(UInt16(name.count)))
    try sendAll(socket, name)
    try sendAll(socket, bigEndian(UInt64(announced)))

    var left = announced
    while left > 0 {
        let piece = try readPiece(file, atMost: min(left, pieceSize))
        guard !piece.isEmpty else { throw TransferError.cutShort(after: announced - left) }
        try sendAll(socket, piece)
        left -= piece.count
    }
    // Somebody wrote to it meanwhile: what the receiver has is not this file, and our caller has to hear of it.
    guard try regularSize(of: file) == announced else { throw TransferError.cutShort(after: announced) }
}

private func regularSize(of file: Int32) throws -> Int {
    var status = stat()
    try check("fstat", fstat(file, &status))
    guard status.st_mode & S_IFMT == S_IFREG else { throw SocketError("fstat", EISDIR) }
    return Int(status.st_size)
}

/// Empty at the end of the file.
private func readPiece(_ file: Int32, atMost size: Int) throws -> [UInt8] {
    var piece = [UInt8](repeating: 0, count: size)
    var count = read(file, &piece, size)
    while count < 0 && errno == EINTR { count = read(file, &piece, size) }
    try check("read", count)
    return Array(piece.prefix(count))
}
