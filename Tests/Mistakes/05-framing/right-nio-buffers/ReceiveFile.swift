import Course
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let channel = Channel(socket: socket)
    guard let two = try channel.receiveFully(2),
        let name = try channel.receiveFully(Int(two[0]) << 8 + Int(two[1])),
        let eight = try channel.receiveFully(8)
    else { throw TransferError.cutShort(after: 0) }
    try examine(name)

    // Everything below happens in this folder, whatever is done to its path meanwhile.
    let directory = try check("open", open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    defer { close(directory) }
    let temporary = ".\(UInt64.random(in: 0 ... .max)).tmp"
    let file = try check("openat", openat(directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    do {
        do {
            defer { close(file) }
            try download(
                from: channel, into: file,
                size: eight.withUnsafeBytes { UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)) })
        }
        let final = name.map { CChar(bitPattern: $0) } + [0]
        try check("renameat", renameat(directory, temporary, directory, final))
    } catch {
        unlinkat(directory, temporary, 0)
        throw error
    }
    return String(decoding: name, as: UTF8.self)
}

private func examine(_ name: [UInt8]) throws {
    switch name {
    case [], [0x2e], [0x2e, 0x2e]: throw TransferError.badName
    default: break
    }
    if name.firstIndex(of: 0x2f) != nil || name.firstIndex(of: 0) != nil { throw TransferError.badName }
    var decoder = UTF8()
    var bytes = name.makeIterator()
    while true {
        switch decoder.decode(&bytes) {
        case .scalarValue: continue
        case .emptyInput: return
        case .error: throw TransferError.badName
        }
    }
}

private func download(from channel: Channel, into file: Int32, size: UInt64) throws {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { room.deallocate() }
    var missing = size
    while missing > 0 {
        let most = Int(min(missing, 65_536))
        let count = try channel.receive(UnsafeMutableRawBufferPointer(rebasing: room[..<most]))
        guard count > 0 else { throw TransferError.cutShort(after: Int(size - missing)) }
        var rest = room[..<count]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            let written = write(file, part.baseAddress, part.count)
            if written < 0 && errno == EINTR { continue }
            rest = rest.dropFirst(try check("write", written))
        }
        missing -= UInt64(count)
    }
}
