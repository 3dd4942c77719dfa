import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let nameLength = Int(number(try whole(2, from: socket)))
    let nameBytes = try whole(nameLength, from: socket)
    let size = number(try whole(8, from: socket))
    let name = try checked(nameBytes)

    // All files are named relative to the open folder, so it may even be renamed meanwhile.
    let directory = try check("open", open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    defer { close(directory) }
    let part = ".part." + String(UInt64.random(in: 0 ... .max), radix: 16)
    let file = try check("openat", openat(directory, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    var failure: (any Error)?
    do { try copy(size, from: socket, to: file) } catch { failure = error }
    // close(2) may be where a network file system says that it could not keep what it took.
    if close(file) < 0 && errno != EINTR && failure == nil { failure = SocketError("close", errno) }
    if failure == nil && renameat(directory, part, directory, name) < 0 { failure = SocketError("renameat", errno) }
    if let failure {
        unlinkat(directory, part, 0)
        throw failure
    }
    return name
}

/// Exactly so many bytes of the header.
private func whole(_ count: Int, from socket: Int32) throws -> [UInt8] {
    let bytes = try take(count, from: socket)
    guard bytes.count == count else { throw TransferError.cutShort(after: 0) }
    return bytes
}

private func checked(_ bytes: [UInt8]) throws -> String {
    if bytes.isEmpty || bytes == [0x2e] || bytes == [0x2e, 0x2e] { throw TransferError.badName }
    for byte in bytes where byte == 0 || byte == 0x2f { throw TransferError.badName }
    guard let name = String(validating: bytes, as: UTF8.self) else { throw TransferError.badName }
    return name
}

private func copy(_ size: UInt64, from socket: Int32, to file: Int32) throws {
    var left = size
    while left > 0 {
        let piece = try take(1, upTo: Int(min(left, 65_536)), from: socket)
        if piece.isEmpty { throw TransferError.cutShort(after: Int(size - left)) }
        try piece.withUnsafeBytes { memory in try drain(memory, "write") { write(file, $0, $1) } }
        left -= UInt64(piece.count)
    }
}

/// What is there: between one byte and `most`; none at the end of the stream.
private func take(_ least: Int, upTo most: Int, from socket: Int32) throws -> [UInt8] {
    var room = [UInt8](repeating: 0, count: most)
    let got = try uninterrupted("recv") { recv(socket, &room, most, Int32(0)) }
    return Array(room[..<got])
}
