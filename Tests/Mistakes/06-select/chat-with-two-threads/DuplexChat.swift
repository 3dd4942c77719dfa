import Foundation
import Sockets

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    Thread.detachNewThread {
        copy(from: input, to: socket)
        shutdown(socket, SHUT_WR)
    }
    copy(from: socket, to: output)
}

private func copy(from source: Int32, to target: Int32) {
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = read(source, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        var rest = buffer[..<count]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(target, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            if written < 0 { return }
            rest = rest.dropFirst(written)
        }
    }
}
