import Foundation
import Sockets

/// Closes its descriptor when nobody holds it any more.
private final class Connection: @unchecked Sendable {
    let descriptor: Int32
    init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    func answer() {
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { return }
            let upper = buffer[..<count].map { (97...122).contains($0) ? $0 - 32 : $0 }
            guard (try? sendAll(descriptor, upper)) != nil else { return }
        }
    }
}

func threadedServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    while true {
        let connection = Connection(try acceptClient(listener))
        let thread = Thread { connection.answer() }
        thread.stackSize = 1 << 18
        thread.start()
    }
}
