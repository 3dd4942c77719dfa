import Course
import Sockets

/// The connection as a FILE: fread gives exactly what is asked for, however the network cut it.
func receiveFile(socket: Int32, folder: String) throws -> String {
    // fclose closes the descriptor too, and the socket is the caller's: so it gets one of its own.
    let own = try check("dup", dup(socket))
    guard let stream = fdopen(own, "rb") else {
        let code = errno
        close(own)
        throw SocketError("fdopen", code)
    }
    defer { fclose(stream) }

    var name = ""
    var size: UInt64 = 0
    do {
        let length = try take(stream, 2).reduce(0) { $0 * 256 + Int($1) }
        let bytes = try take(stream, length)
        size = try take(stream, 8).reduce(0) { $0 << 8 | UInt64($1) }
        guard let good = checked(bytes) else { throw TransferError.badName }
        name = good
    } catch is TooShort {
        throw TransferError.cutShort(after: 0)
    }

    let draft = folder + "/.receiving-" + String(UInt64.random(in: 0 ... .max), radix: 36)
    let file = try check("open", open(draft, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o644))
    var isOpen = true
    do {
        var done: UInt64 = 0
        while done < size {
            let wanted = Int(min(32_768, size - done))
            let piece: [UInt8]
            do {
                piece = try take(stream, wanted)
            } catch let short as TooShort {
                throw TransferError.cutShort(after: Int(done) + short.got)
            }
            var written = 0
            while written < piece.count {
                let count = piece[written...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
                if count < 0 && errno == EINTR { continue }
                written += try check("write", count)
            }
            done += UInt64(piece.count)
        }
        isOpen = false
        close(file)
        try check("rename", rename(draft, folder + "/" + name))
    } catch {
        if isOpen { close(file) }
        unlink(draft)
        throw error
    }
    return name
}

private struct TooShort: Error { var got: Int }

private func take(_ stream: UnsafeMutablePointer<FILE>, _ count: Int) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    var got = 0
    while got < count {
        got += bytes[got...].withUnsafeMutableBytes { fread($0.baseAddress!, 1, $0.count, stream) }
        if got == count { break }
        if feof(stream) != 0 { throw TooShort(got: got) }
        if ferror(stream) != 0 {
            let code = errno
            if code != EINTR { throw SocketError("fread", code) }
            clearerr(stream)
        }
    }
    return bytes
}

private func checked(_ bytes: [UInt8]) -> String? {
    if bytes.isEmpty || bytes == [46] || bytes == [46, 46] { return nil }
    if bytes.contains(where: { $0 == 0 || $0 == 47 }) { return nil }
    return String(validating: bytes, as: UTF8.self)
}
