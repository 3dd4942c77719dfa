import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let (nameBytes, size) = try receiveHeader(socket)
    let name = try safeName(nameBytes)

    let temporary = "\(folder)/.incoming-\(UInt64.random(in: .min ... .max))"
    let file = try check("open", open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    do {
        defer { close(file) }
        try receiveContent(socket, size: size, into: file)
    } catch {
        unlink(temporary)
        throw error
    }
    guard rename(temporary, "\(folder)/\(name)") == 0 else {
        let code = errno
        unlink(temporary)
        throw SocketError("rename", code)
    }
    return name
}

private func receiveHeader(_ socket: Int32) throws -> (name: [UInt8], size: UInt64) {
    do {
        let nameLength = try receiveExactly(socket, count: 2).reduce(0) { $0 << 8 | Int($1) }
        let name = try receiveExactly(socket, count: nameLength)
        return (name, try receiveExactly(socket, count: 8).reduce(0) { $0 << 8 | UInt64($1) })
    } catch is StreamError {
        throw TransferError.cutShort(after: 0)
    }
}

private func receiveContent(_ socket: Int32, size: UInt64, into file: Int32) throws {
    var piece = [UInt8](repeating: 0, count: pieceSize)
    var received: UInt64 = 0
    while received < size {
        let wanted = Int(min(UInt64(piece.count), size - received))
        let count = recv(socket, &piece, wanted, 0)
        if count <= 0 && errno == EINTR { continue }
        if try check("recv", count) == 0 { throw TransferError.cutShort(after: Int(received)) }
        try writeAll(file, piece[..<count])
        received += UInt64(count)
    }
}

private func safeName(_ bytes: [UInt8]) throws -> String {
    let name = String(decoding: bytes, as: UTF8.self)
    guard Array(name.utf8) == bytes, !bytes.isEmpty, bytes != Array(".".utf8), bytes != Array("..".utf8),
        !bytes.contains(UInt8(ascii: "/")), !bytes.contains(0)
    else { throw TransferError.badName }
    return name
}

private func writeAll(_ file: Int32, _ bytes: ArraySlice<UInt8>) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        rest = rest.dropFirst(try check("write", count))
    }
}
