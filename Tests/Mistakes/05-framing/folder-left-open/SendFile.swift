import Course
import Sockets

let pieceSize = 65_536

func sendFile(socket: Int32, path: String) throws {
    let (file, size) = try openRegular(path)
    defer { close(file) }
    let name = Array(path.utf8.split(separator: 0x2f).last ?? [])
    try sendAll(socket, bigEndian(UInt16(name.count)))
    try sendAll(socket, name)
    try sendAll(socket, bigEndian(UInt64(size)))

    var left = size
    var piece = [UInt8](repeating: 0, count: pieceSize)
    while left > 0 {
        let count = read(file, &piece, min(left, piece.count))
        if count < 0 && errno == EINTR { continue }
        if try check("read", count) == 0 { throw TransferError.cutShort(after: size - left) }
        try sendAll(socket, Array(piece[0..<count]))
        left -= count
    }
}

private func openRegular(_ path: String) throws -> (Int32, Int) {
    let file = try check("open", open(path, O_RDONLY))
    var info = stat()
    try check("fstat", fstat(file, &info))
    guard info.st_mode & S_IFMT == S_IFREG else { throw SocketError("open", EISDIR) }
    return (file, Int(info.st_size))
}
