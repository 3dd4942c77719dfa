import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let (nameBytes, size) = try receiveHeader(socket)
    let name = try safeName(nameBytes)

    // In the same folder, because rename(2) cannot move a file to another file system. O_EXCL: it must be new, and
    // no symbolic link is followed. Not named after `name`: that may be as long as a name can be already.
    let temporary = "\(folder)/.incoming-\(UInt64.random(in: .min ... .max))"
    let file = try check("open", open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    do {
        // The one place where the file is closed, whatever happened.
        defer { close(file) }
        try receiveContent(socket, size: size, into: file)
    } catch {
        unlink(temporary)
        throw error
    }
    // One step: whoever opens `name` finds the old file or the new one, never half of it. If a symbolic link has that
    // name, the link is replaced, and what it points to is left alone. (To survive a power cut too, fsync(2) comes
    // before this.)
    guard rename(temporary, "\(folder)/\(name)") == 0 else {
        let code = errno
        unlink(temporary)
        throw SocketError("rename", code)
    }
    return name
}

/// u16 length of the name, the name, u64 size.
private func receiveHeader(_ socket: Int32) throws -> (name: [UInt8], size: UInt64) {
    do {
        let nameLength = try receiveExactly(socket, count: 2).reduce(0) { $0 << 8 | Int($1) }
        let name = try receiveExactly(socket, count: nameLength)
        return (name, try receiveExactly(socket, count: 8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) })
    } catch is StreamError {
        throw TransferError.cutShort(after: 0)
    }
}

private func receiveContent(_ socket: Int32, size: UInt64, into file: Int32) throws {
    var piece = [UInt8](repeating: 0, count: pieceSize)
    var received: UInt64 = 0
    while received < size {
        // The size is a stranger's word: it decides when to stop, never how much memory to take. No byte past it is
        // read: that belongs to the next file. `size - received` may be too large for an Int; the smaller is not.
        let wanted = Int(min(UInt64(piece.count), size - received))
        let count = recv(socket, &piece, wanted, 0)
        if count < 0 && errno == EINTR { continue }
        if try check("recv", count) == 0 { throw TransferError.cutShort(after: Int(received)) }
        try writeAll(file, piece[..<count])
        received += UInt64(count)
    }
}

/// - Returns: a name that stays in its folder.
private func safeName(_ bytes: [UInt8]) throws -> String {
    let name = String(decoding: bytes, as: UTF8.self)
    // Repaired bytes are other bytes. The rest is checked on bytes, too: they are what the kernel sees.
    guard Array(name.utf8) == bytes, !bytes.isEmpty, bytes != Array(".".utf8), bytes != Array("..".utf8),
        !bytes.contains(UInt8(ascii: "/")), !bytes.contains(0)
    else { throw TransferError.badName }
    return name
}

/// write(2) to a file may take fewer bytes, too: when the disk is full, or a signal comes.
private func writeAll(_ file: Int32, _ bytes: ArraySlice<UInt8>) throws {
    var rest = bytes
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        rest = rest.dropFirst(try check("write", count))
    }
}
