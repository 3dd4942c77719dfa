import Sockets

func uppercaseServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    while true {
        do {
            let connection = try acceptClient(listener)
            serve(connection)
        } catch {
            close(listener)
            throw error
        }
    }
}

func makeListener(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)

    let listener = socket(address.family, SOCK_STREAM, 0)
    if listener == -1 {
        throw SocketError("socket", errno)
    }

    var on: Int32 = 1
    if setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)) == -1 {
        let reason = errno
        close(listener)
        throw SocketError("setsockopt", reason)
    }

    let bound = address.withSockaddr { pointer, length in
        bind(listener, pointer, length)
    }
    if bound == -1 {
        let reason = errno
        close(listener)
        throw SocketError("bind", reason)
    }

    if listen(listener, SOMAXCONN) == -1 {
        let reason = errno
        close(listener)
        throw SocketError("listen", reason)
    }

    return listener
}

func acceptClient(_ listener: Int32) throws -> Int32 {
    while true {
        let connection = accept(listener, nil, nil)
        if connection != -1 {
            return connection
        }
        let reason = errno
        if reason == EINTR {
            continue
        } else if reason == ECONNABORTED || reason == EPROTO {
            continue
        } else if reason == ENETDOWN || reason == ENETUNREACH || reason == EHOSTUNREACH {
            continue
        } else if reason == EMFILE || reason == ENFILE {
            poll(nil, 0, 75)
        } else if reason == ENOBUFS || reason == ENOMEM {
            poll(nil, 0, 75)
        } else {
            throw SocketError("accept", reason)
        }
    }
}

func serve(_ connection: Int32) {
    var isOver = false
    while isOver == false {
        do {
            let question = try receivePiece(connection, pieceSize)
            if question.isEmpty {
                isOver = true
            } else {
                var answer: [UInt8] = []
                for byte in question {
                    answer.append(upper(byte))
                }
                try sendAll(connection, answer)
            }
        } catch {
            isOver = true
        }
    }
    close(connection)
}

private let small = [UInt8]("abcdefghijklmnopqrstuvwxyz".utf8)
private let large = [UInt8]("ABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)

private func upper(_ byte: UInt8) -> UInt8 {
    for index in small.indices {
        if small[index] == byte {
            return large[index]
        }
    }
    return byte
}
