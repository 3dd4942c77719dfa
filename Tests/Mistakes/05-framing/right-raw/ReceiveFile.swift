import Course
import Foundation
import Sockets
/// FileHandles on both sides.
func receiveFile(socket: Int32, folder: String) throws -> String {
    let handle = FileHandle(fileDescriptor: socket, closeOnDealloc: false)
    func number(_ n: Int) throws -> UInt64 { try get(n).reduce(0) { $0 << 8 + UInt64($1) } }
    func get(_ n: Int) throws -> Data {
        var data = Data()
        while data.count < n {
            guard let more = try handle.read(upToCount: n - data.count), !more.isEmpty else {
                throw TransferError.cutShort(after: 0)
            }
            data += more
        }
        return data
    }
    let nameBytes = try get(Int(try number(2)))
    let size = try number(8)
    guard let name = String(data: nameBytes, encoding: .utf8), !["", ".", ".."].contains(name), !nameBytes.contains(0),
        !nameBytes.contains(0x2f)
    else { throw TransferError.badName }
    let url = URL(fileURLWithPath: folder).appendingPathComponent(".tmp-\(getpid())-\(UInt32.random(in: 0 ... .max))")
    guard FileManager.default.createFile(atPath: url.path, contents: nil) else { throw CocoaError(.fileWriteUnknown) }
    do {
        let out = try FileHandle(forWritingTo: url)
        defer { try? out.close() }
        var received: UInt64 = 0
        while received < size {
            guard let more = try handle.read(upToCount: Int(min(size - received, 30_000))), !more.isEmpty else {
                throw TransferError.cutShort(after: Int(received))
            }
            try out.write(contentsOf: more)
            received += UInt64(more.count)
        }
        guard rename(url.path, folder + "/" + name) == 0 else { throw SocketError("rename", errno) }
    } catch {
        try? FileManager.default.removeItem(at: url)
        throw error
    }
    return name
}
