// Crashes, each with its own line. The folder's name makes this a student's file.
import Course
import Foundation
import Sockets

let crashEntries: [Entry] = [
    .function("crash-index") { arguments in
        let bytes = try arguments.bytes(0)
        return .int(Int(bytes[3]))
    },
    .function("crash-overflow") { arguments in
        let number: UInt8 = try arguments.unsigned(0)
        return .unsigned(UInt64(number + 1))
    },
    .function("crash-negative") { .unsigned(UInt64(try $0.int(0))) },
    .function("crash-narrow") { .unsigned(UInt64(UInt8(try $0.int(0)))) },
    .function("crash-misaligned") { arguments in
        let bytes = try arguments.bytes(0)
        return .unsigned(UInt64(bytes.withUnsafeBytes { $0.load(fromByteOffset: 1, as: UInt32.self) }))
    },
    .function("crash-nil") { arguments in
        let none = try arguments.list(0).first
        return none!
    },
    .function("crash-segment") { _ in
        UnsafeMutablePointer<UInt8>(bitPattern: 16)!.pointee = 1
        return .none
    },
    .function("crash-sigpipe") { _ in
        let (client, server) = try connectedPair()
        close(server)
        for _ in 0..<3 { send(client, "x", 1, 0) }
        return .none
    },
    .function("crash-abort") { _ in abort() },
    .function("crash-in-a-thread") { arguments in
        let bytes = try arguments.bytes(0)
        let done = DispatchSemaphore(value: 0)
        Thread {
            print(bytes[5])
            done.signal()
        }.start()
        done.wait()
        return .none
    },
    .server("crash-after-accept") { host, port in
        let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
        let address = try SocketAddress(host: host, port: port)
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 5))
        let client = try check("accept", accept(listener, nil, nil))
        var buffer = [UInt8](repeating: 0, count: 10)
        let count = recv(client, &buffer, 10, 0)
        print(buffer[count + 10])
    },
]
