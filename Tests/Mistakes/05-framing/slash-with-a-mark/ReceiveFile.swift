import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let nameBytes: [UInt8]
    let size: UInt64
    do {
        let length = try receiveExactly(socket, count: 2)
        nameBytes = try receiveExactly(socket, count: Int(length[0]) << 8 | Int(length[1]))
        size = try receiveExactly(socket, count: 8).reduce(0) { $0 << 8 | UInt64($1) }
    } catch is StreamError {
        throw TransferError.cutShort(after: 0)
    }

    let name = String(decoding: nameBytes, as: UTF8.self)
    if name.isEmpty || name == "." || name == ".." { throw TransferError.badName }
    if name.contains("/" as Character) || name.contains("\0" as Character) { throw TransferError.badName }
    if Array(name.utf8) != nameBytes { throw TransferError.badName }

    let part = folder + "/.part-" + String(UInt64.random(in: 0 ... .max), radix: 36)
    let file = try check("open", open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    var isOpen = true
    do {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var received: UInt64 = 0
        while received < size {
            let count = recv(socket, &buffer, Int(min(65_536, size - received)), 0)
            if count < 0 && errno == EINTR { continue }
            if try check("recv", count) == 0 { throw TransferError.cutShort(after: Int(received)) }
            received += UInt64(count)
            var written = 0
            while written < count {
                let n = buffer[written..<count].withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
                if n < 0 && errno == EINTR { continue }
                written += try check("write", n)
            }
        }
        close(file)
        isOpen = false
        try check("rename", rename(part, folder + "/" + name))
    } catch {
        if isOpen { close(file) }
        unlink(part)
        throw error
    }
    return name
}
