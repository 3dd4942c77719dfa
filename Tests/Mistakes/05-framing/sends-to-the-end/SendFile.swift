import Course
import Sockets

let pieceSize = 65_536

func sendFile(socket: Int32, path: String) throws {
    let file = try check("open", open(path, O_RDONLY | O_CLOEXEC))
    defer { close(file) }
    var status = stat()
    try check("fstat", fstat(file, &status))
    guard status.st_mode & S_IFMT == S_IFREG else { throw SocketError("open", EINVAL) }

    let name = Array(path.utf8.split(separator: UInt8(ascii: "/")).last ?? [])
    let size = Int(status.st_size)
    try sendAll(socket, bigEndian(UInt16(name.count)) + name + bigEndian(UInt64(size)))

    var sent = 0
    var piece = [UInt8](repeating: 0, count: pieceSize)
    while true {
        let count = read(file, &piece, piece.count)
        if count < 0 && errno == EINTR { continue }
        if try check("read", count) == 0 { return }
        try sendAll(socket, Array(piece[..<count]))
        sent += count
    }
}
