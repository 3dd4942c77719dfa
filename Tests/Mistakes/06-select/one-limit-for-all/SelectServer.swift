import Course
import Sockets

private let memoryLimit = 65_536

private struct Session {
    var unsent: [UInt8] = []
    var inputOver = false
    var failed = false

    mutating func take(_ bytes: ArraySlice<UInt8>) {
        unsent.reserveCapacity(unsent.count + bytes.count)
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"): unsent.append(byte & 0b1101_1111)
            default: unsent.append(byte)
            }
        }
    }
}

func selectServer(host: String, port: UInt16) throws {
    let server = SelectLoop(listener: try listeningSocket(host, port))
    defer { server.closeEverything() }
    while true { try server.round() }
}

private final class SelectLoop {
    private let listener: Int32
    private var sessions: [Int32: Session] = [:]
    private var listenerRests = false
    private var scratch = [UInt8](repeating: 0, count: 16_384)

    init(listener: Int32) { self.listener = listener }

    func closeEverything() {
        for number in sessions.keys { close(number) }
        close(listener)
    }

    func round() throws {
        var readers = fd_set()
        var writers = fd_set()
        fdZero(&readers)
        fdZero(&writers)
        if !listenerRests { fdSet(listener, &readers) }

        // Back-pressure: while too much is waiting to be sent, no more is received.
        let waiting = sessions.values.reduce(0) { $0 + $1.unsent.count }
        var highest = listener
        for (number, session) in sessions {
            if !session.inputOver && waiting < memoryLimit { fdSet(number, &readers) }
            if !session.unsent.isEmpty { fdSet(number, &writers) }
            if number > highest { highest = number }
        }

        let count: Int32
        if listenerRests {
            var tenth = timeval(tv_sec: 0, tv_usec: 100_000)
            count = select(highest + 1, &readers, &writers, nil, &tenth)
        } else {
            count = select(highest + 1, &readers, &writers, nil, nil)
        }
        if count == -1 {
            guard errno == EINTR else { throw SocketError("select", errno) }
            return
        }

        for number in Array(sessions.keys) {
            if fdIsSet(number, &readers) != 0 { receive(number) }
            if fdIsSet(number, &writers) != 0 { answer(number) }
            finish(number)
        }
        if listenerRests || fdIsSet(listener, &readers) != 0 {
            listenerRests = false
            try welcome()
        }
    }

    private func receive(_ number: Int32) {
        let count = recv(number, &scratch, scratch.count, 0)
        if count > 0 {
            sessions[number]!.take(scratch[..<count])
            answer(number)
        } else if count == 0 {
            sessions[number]!.inputOver = true
        } else if errno != EAGAIN, errno != EINTR {
            sessions[number]!.failed = true
        }
    }

    private func answer(_ number: Int32) {
        guard let bytes = sessions[number]?.unsent, !bytes.isEmpty else { return }
        let count = send(number, bytes, bytes.count, MSG_NOSIGNAL)
        if count >= 0 {
            sessions[number]!.unsent = Array(bytes[count...])
        } else if errno != EAGAIN, errno != EINTR {
            sessions[number]!.failed = true
        }
    }

    private func finish(_ number: Int32) {
        guard let session = sessions[number] else { return }
        if session.failed || (session.inputOver && session.unsent.isEmpty) {
            sessions.removeValue(forKey: number)
            close(number)
        }
    }

    private func welcome() throws {
        while true {
            let number = accept(listener, nil, nil)
            if number >= Int32(FD_SETSIZE) {
                close(number)
            } else if number >= 0 {
                setNonblocking(number)
                sessions[number] = Session()
            } else if errno == EAGAIN {
                return
            } else if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) {
                listenerRests = true
                return
            } else if ![EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH].contains(errno) {
                throw SocketError("accept", errno)
            }
        }
    }
}

private func listeningSocket(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    do {
        var one: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(4)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }
    setNonblocking(listener)
    return listener
}

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    var flags = fcntl(descriptor, F_GETFL)
    if on { flags |= O_NONBLOCK } else { flags &= ~O_NONBLOCK }
    _ = fcntl(descriptor, F_SETFL, flags)
}
