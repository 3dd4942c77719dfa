import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    var received: UInt64 = 0
    do {
        let nameLength = try receiveExactly(socket, count: 2).reduce(0) { $0 << 8 | Int($1) }
        let bytes = try receiveExactly(socket, count: nameLength)
        let size = try receiveExactly(socket, count: 8).reduce(0) { $0 << 8 | UInt64($1) }
        guard !bytes.isEmpty, bytes != [46], bytes != [46, 46], !bytes.contains(0), !bytes.contains(47),
            let name = String(validating: bytes, as: UTF8.self)
        else { throw TransferError.badName }

        let temporary = "\(folder)/.receiving.\(UInt64.random(in: 0 ... .max))"
        let file = try check("open", open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
        do {
            defer { close(file) }
            while received < size {
                // receiveExactly knows about short reads and EINTR already.
                let piece = try receiveExactly(socket, count: Int(min(65_536, size - received)))
                var written = 0
                while written < piece.count {
                    let n = piece[written...].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
                    if n < 0 && errno == EINTR { continue }
                    written += try check("write", n)
                }
                received += UInt64(piece.count)
            }
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
    } catch is StreamError {
        throw TransferError.cutShort(after: Int(received))
    }
}
