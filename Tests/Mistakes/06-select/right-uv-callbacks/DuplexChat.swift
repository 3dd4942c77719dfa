import Course
import Glibc
import Sockets

/// What one direction does next. The state is a value; a step makes the next one out of it.
private enum Way {
    case listening
    case holding(ArraySlice<UInt8>)
    case ended
}

private enum Chat {
    static func again() -> Bool { errno == EINTR || errno == EAGAIN }

    static func read(_ call: String, _ body: (UnsafeMutableRawBufferPointer) -> Int) throws -> Way {
        var count = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { room, filled in
            count = body(UnsafeMutableRawBufferPointer(room))
            filled = max(0, count)
        }
        if count > 0 { return .holding(bytes[...]) }
        if count == 0 { return .ended }
        guard again() else { throw SocketError(call, errno) }
        return .listening
    }

    static func write(_ bytes: ArraySlice<UInt8>, _ call: String, _ body: (UnsafeRawBufferPointer) -> Int) throws -> Way
    {
        let count = bytes.withUnsafeBytes(body)
        guard count >= 0 || again() else { throw SocketError(call, errno) }
        let rest = bytes.dropFirst(max(0, count))
        return rest.isEmpty ? .listening : .holding(rest)
    }
}

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    var outward = Way.listening
    var inward = Way.listening
    var told = false

    while true {
        // poll instead of select: entries with a negative descriptor are not looked at, so there are always four, each with
        // a place of its own. One that nobody is interested in must not be asked about: POLLHUP comes unasked.
        var asked = [
            pollfd(fd: -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: -1, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: -1, events: Int16(POLLOUT), revents: 0),
        ]
        switch outward {
        case .listening: asked[0].fd = input
        case .holding: asked[1].fd = socket
        case .ended:
            if !told { shutdown(socket, SHUT_WR) }
            told = true
        }
        switch inward {
        case .listening: asked[2].fd = socket
        case .holding: asked[3].fd = output
        case .ended: return
        }
        if poll(&asked, nfds_t(asked.count), -1) < 0 {
            guard errno == EINTR else { throw SocketError("poll", errno) }
            continue
        }

        switch outward {
        case .listening where asked[0].revents != 0:
            outward = try Chat.read("read") { Glibc.read(input, $0.baseAddress, $0.count) }
        case .holding(let bytes) where asked[1].revents != 0:
            outward = try Chat.write(bytes, "send") {
                send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
        default: break
        }
        switch inward {
        case .listening where asked[2].revents != 0:
            inward = try Chat.read("recv") { recv(socket, $0.baseAddress, $0.count, MSG_DONTWAIT) }
        case .holding(let bytes) where asked[3].revents != 0:
            // At most 4,096 bytes at a time: so much goes into a pipe that is called writable, without a wait.
            inward = try Chat.write(bytes, "write") { Glibc.write(output, $0.baseAddress, $0.count) }
        default: break
        }
    }
}
