import Course
import Foundation
import Sockets
let largestMessage = 1 << 20
func framedEchoServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    while true {
        let client = try acceptClient(listener)
        DispatchQueue(label: "client \(client)").async {
            let handle = FileHandle(fileDescriptor: client, closeOnDealloc: true)
            var decoder = FrameDecoder(limit: largestMessage)
            do {
                while true {
                    var piece = [UInt8](repeating: 0, count: 3000)
                    let count = read(handle.fileDescriptor, &piece, piece.count)
                    if count < 0 && errno == EINTR { continue }
                    if count <= 0 { break }
                    decoder.feed(Array(piece.prefix(count)))
                    while let m = try decoder.next() { try sendAll(client, encodeFrame(message: m)) }
                }
            } catch {
                // A frame that is too long, or a client that is gone: the handle closes, others go on.
            }
        }
    }
}
