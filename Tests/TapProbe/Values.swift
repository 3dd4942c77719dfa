// What crosses between the grader and a lesson process: values there and back, and errors of every kind.
import Course
import Foundation
import Sockets

private enum ProbeError: Error {
    case plain
    case detailed(count: Int)
}

private struct OddError: Error, CustomStringConvertible {
    var description: String { "an odd one" }
}

let valueEntries: [Entry] = [
    .function("give-back") { .list($0) },
    .function("lengths") { arguments in .list(try arguments.map { try [$0].bytes(0).count }.map { .int($0) }) },
    .function("type-of-socket") { arguments in
        let descriptor = try arguments.descriptor(0)
        var type: Int32 = 0
        var length = socklen_t(4)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &length))
        return .list([.int(Int(type)), .int(Int(descriptor)), .int(Int(try SocketAddress.peer(of: descriptor).port))])
    },
    .function("send-on") { arguments in
        let text = try arguments.string(1)
        return .int(send(try arguments.descriptor(0), text, text.utf8.count, MSG_NOSIGNAL))
    },
    .function("throw-socket-error") { _ in throw SocketError("recv", ECONNRESET) },
    .function("throw-plain") { _ in throw ProbeError.plain },
    .function("throw-detailed") { _ in throw ProbeError.detailed(count: 3) },
    .function("throw-odd") { _ in throw OddError() },
    .function("throw-resolve-error") { _ in throw ResolveError(code: EAI_NONAME) },
    .server("returns-at-once") { _, _ in },
    .server("throws-at-once") { _, _ in throw SocketError("bind", EACCES) },
]
