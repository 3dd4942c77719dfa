import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let source = Source(socket: socket)
    let length = try source.header(2)
    let name = try source.header(Int(length[0]) << 8 + Int(length[1]))
    var size: UInt64 = 0
    for byte in try source.header(8) { size = size << 8 + UInt64(byte) }
    let isBad = name.isEmpty || name == [0x2e] || name == [0x2e, 0x2e] || name.contains { $0 == 0 || $0 == 0x2f }
    let text = String(decoding: name, as: UTF8.self)
    if isBad || !text.utf8.elementsEqual(name) { throw TransferError.badName }

    // mkstemp(3) makes a name that is new (O_EXCL), and writes it into its template.
    var template = Array("\(folder)/.incoming-XXXXXX".utf8CString)
    let file = try check("mkstemp", mkstemp(&template))
    var isThere = true
    defer {
        if isThere { unlink(template) }
    }
    do {
        defer { close(file) }
        try check("fchmod", fchmod(file, 0o644))
        try source.content(size, to: file)
    }
    try check("rename", rename(template, "\(folder)/\(text)"))
    isThere = false
    return text
}

private struct Source {
    let socket: Int32

    func header(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var have = 0
        while have < count {
            let got = try some(&bytes, from: have, atMost: count - have)
            if got == 0 { throw TransferError.cutShort(after: 0) }
            have += got
        }
        return bytes
    }

    func content(_ size: UInt64, to file: Int32) throws {
        var piece = [UInt8](repeating: 0, count: 65_536)
        var left = size
        while left > 0 {
            let got = try some(&piece, from: 0, atMost: Int(min(UInt64(piece.count), left)))
            if got == 0 { throw TransferError.cutShort(after: Int(size - left)) }
            left -= UInt64(got)
            var written = 0
            while written < got {
                let count = piece.withUnsafeBytes { write(file, $0.baseAddress! + written, got - written) }
                if count < 0 && errno == EINTR { continue }
                written += try check("write", count)
            }
        }
    }

    /// read(2): on a socket the same as recv without flags.
    private func some(_ room: inout [UInt8], from index: Int, atMost count: Int) throws -> Int {
        while true {
            let got = room.withUnsafeMutableBytes { read(socket, $0.baseAddress! + index, count) }
            if got < 0 && errno == EINTR { continue }
            return try check("read", got)
        }
    }
}
