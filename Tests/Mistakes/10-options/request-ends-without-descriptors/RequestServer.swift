import Course
import Foundation
import Sockets

func requestServer(host: String, port: UInt16) throws {
    try serveClients(makeListener(host: host, port: port, sharing: false))
}

func makeListener(host: String, port: UInt16, sharing: Bool) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var on: Int32 = 1
        for option in sharing ? [SO_REUSEADDR, SO_REUSEPORT] : [SO_REUSEADDR] {
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, option, &on, 4))
        }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

func serveClients(_ listener: Int32) throws {
    signal(SIGPIPE, SIG_IGN)
    while true {
        let client = accept(listener, nil, nil)
        if client == -1 {
            if [EINTR, ECONNABORTED, EPROTO].contains(errno) { continue }
            throw SocketError("accept", errno)
        }
        var off: Int32 = 1
        setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &off, 4)
        serve(client)
        close(client)
    }
}

/// Line by line, with the buffer of lesson 05; read and write rather than recv and send.
private func serve(_ client: Int32) {
    var text = Data()
    while true {
        while let newline = text.firstIndex(of: 10) {
            let line = text[text.startIndex..<newline]
            if line.count > Lesson10.longestLine { return }
            let upper = line.map { (97...122).contains($0) ? $0 - 32 : $0 }
            guard put(client, Array("\(line.count)\n".utf8)), put(client, upper) else { return }
            text.removeSubrange(...newline)
        }
        if text.count > Lesson10.longestLine { return }
        var room = [UInt8](repeating: 0, count: 2048)
        let got = read(client, &room, room.count)
        if got > 0 { text.append(contentsOf: room[..<got]) }
        if got == 0 { return }
        if got < 0 && errno != EINTR { return }
    }
}

private func put(_ client: Int32, _ bytes: [UInt8]) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
        let taken = rest.withUnsafeBytes { write(client, $0.baseAddress, $0.count) }
        if taken >= 0 { rest = rest.dropFirst(taken) } else if errno != EINTR { return false }
    }
    return true
}
