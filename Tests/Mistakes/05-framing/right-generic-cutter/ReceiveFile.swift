import Course
import Foundation
import Sockets

func receiveFile(socket: Int32, folder: String) throws -> String {
    let stream = Stream(descriptor: socket)
    func field(_ count: Int) throws -> [UInt8] {
        let bytes = try stream.receive(count)
        if bytes.count < count { throw TransferError.cutShort(after: 0) }
        return bytes
    }
    let name = try field(Int(UInt16(joining: try field(2))))
    let size = UInt64(joining: try field(8))
    guard let target = FileName(name) else { throw TransferError.badName }

    let incoming = try IncomingFile(folder: folder)
    do {
        var missing = size
        while missing > 0 {
            let wanted = Int(min(missing, 65_536))
            let bytes = try stream.receive(wanted)
            try incoming.append(bytes)
            missing -= UInt64(bytes.count)
            if bytes.count < wanted { throw TransferError.cutShort(after: Int(size - missing)) }
        }
        try incoming.publish(as: target.text)
    } catch {
        incoming.discard()
        throw error
    }
    return target.text
}

extension FixedWidthInteger {
    fileprivate init(joining bytes: [UInt8]) { self = bytes.reduce(0) { $0 << 8 | Self($1) } }
}

/// A name that cannot lead out of its folder.
private struct FileName {
    let text: String

    init?(_ bytes: [UInt8]) {
        let forbidden: [[UInt8]] = [[], Array(".".utf8), Array("..".utf8)]
        guard !forbidden.contains(bytes), !bytes.contains(where: { [0, 47].contains($0) }),
            let text = String(validating: bytes, as: UTF8.self)
        else { return nil }
        self.text = text
    }
}

private final class IncomingFile {
    private let folder: String
    private let path: String
    private var descriptor: Int32

    init(folder: String) throws {
        self.folder = folder
        path = "\(folder)/.\(UUID().uuidString)"
        descriptor = try check("open", open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644))
    }

    func append(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            rest.removeFirst(try check("write", count))
        }
    }

    func publish(as name: String) throws {
        shut()
        try check("rename", rename(path, "\(folder)/\(name)"))
    }

    func discard() {
        shut()
        unlink(path)
    }

    private func shut() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}
