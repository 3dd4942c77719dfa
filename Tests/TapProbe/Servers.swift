// Servers that can be reached in one way or another: the grader must find out where.
import Course
import Foundation
import Sockets

let serverEntries: [Entry] = [
    .server("echo") { host, port in
        let listener = try listening(SOCK_STREAM, host, port)
        while true {
            let client = try check("accept", accept(listener, nil, nil))
            var buffer = [UInt8](repeating: 0, count: 1000)
            while true {
                let count = recv(client, &buffer, buffer.count, 0)
                if count <= 0 { break }
                send(client, buffer, count, MSG_NOSIGNAL)
            }
            close(client)
        }
    },
    .server("datagram-echo") { host, port in
        try echoDatagrams(on: reachable(SOCK_DGRAM, host, port))
    },
    .server("nonblocking-type") { host, port in
        try answerOnce(on: listening(SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, host, port))
    },
    .server("listen-in-a-thread") { host, port in
        let listener = try reachable(SOCK_STREAM, host, port)
        Thread { listen(listener, 5) }.start()
        try answerOnce(on: listener)
    },
    .server("listen-unbound") { host, port in
        let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
        try check("listen", listen(listener, 5))
        try answerOnce(on: listener)
    },
    .server("made-by-a-library") { host, port in
        let listener = hiddenSocket(AF_INET, SOCK_STREAM, 0)
        let address = try SocketAddress(host: host, port: port)
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 5))
        try answerOnce(on: listener)
    },
    .server("second-bind") { host, port in
        // The first port is taken by another socket of its own.
        let taken = try listening(SOCK_STREAM, host, 0, heard: false)
        let address = try SocketAddress.local(of: taken)
        let listener = try check("socket", socket(AF_INET, SOCK_STREAM, 0))
        if address.withSockaddr({ bind(listener, $0, $1) }) == 0 { fatalError("the port is taken") }
        let other = try SocketAddress(host: host, port: port)
        try check("bind", other.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 5))
        try answerOnce(on: listener)
    },
    .server("helper-first") { host, port in
        _ = try reachable(SOCK_DGRAM, host, 0)
        try answerOnce(on: listening(SOCK_STREAM, host, port))
    },
    .server("unix-path") { host, _ in
        let name = "a-path-that-is-longer-than-any-internet-address-can-be"
        let address = try SocketAddress(unixPath: name)
        let listener = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, 5))
        try answerOnce(on: listener)
    },
    .server("never-binds") { _, _ in
        let descriptor = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
        var buffer = [UInt8](repeating: 0, count: 10)
        recvfrom(descriptor, &buffer, 10, 0, nil, nil)
    },
]

private func reachable(_ type: Int32, _ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let descriptor = try check("socket", socket(address.family, type, 0))
    try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
    return descriptor
}

private func listening(_ type: Int32, _ host: String, _ port: UInt16, heard: Bool = true) throws -> Int32 {
    let descriptor = try reachable(type, host, port)
    if heard { try check("listen", listen(descriptor, 5)) }
    return descriptor
}

private func answerOnce(on listener: Int32) throws {
    while true {
        var event = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        poll(&event, 1, -1)
        let client = accept(listener, nil, nil)
        if client == -1 { continue }
        send(client, "here", 4, MSG_NOSIGNAL)
        close(client)
    }
}

private func echoDatagrams(on descriptor: Int32) throws {
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let (count, sender) = SocketAddress.received { recvfrom(descriptor, &buffer, buffer.count, 0, $0, $1) }
        if let sender { _ = sender.withSockaddr { sendto(descriptor, buffer, count, 0, $0, $1) } }
    }
}
