import Sockets

/// One direction, generic over how it takes and gives.
private protocol Pipe {
    static func take(_ fd: Int32, _ room: UnsafeMutableRawBufferPointer) -> Int
    static func give(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Int
}

private enum ToPeer: Pipe {
    static func take(_ fd: Int32, _ room: UnsafeMutableRawBufferPointer) -> Int {
        read(fd, room.baseAddress, room.count)
    }
    static func give(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        send(fd, bytes.baseAddress, bytes.count, MSG_DONTWAIT | MSG_NOSIGNAL)
    }
}

private enum FromPeer: Pipe {
    static func take(_ fd: Int32, _ room: UnsafeMutableRawBufferPointer) -> Int {
        recv(fd, room.baseAddress, room.count, MSG_DONTWAIT)
    }
    /// select promises room for PIPE_BUF bytes at least, no matter what it is.
    static func give(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        write(fd, bytes.baseAddress, min(bytes.count, 4096))
    }
}

private struct Lane<P: Pipe> {
    enum State { case empty, full(ArraySlice<UInt8>), done }
    let source: Int32
    let sink: Int32
    var state = State.empty

    var isDone: Bool { if case .done = state { return true } else { return false } }

    func ask(_ r: inout fd_set, _ w: inout fd_set) {
        switch state {
        case .empty: fdSet(source, &r)
        case .full: fdSet(sink, &w)
        case .done: break
        }
    }

    /// Asked again after select, for one call that does not wait.
    mutating func go(_ r: inout fd_set, _ w: inout fd_set) throws {
        switch state {
        case .empty where fdIsSet(source, &r) != 0:
            var count = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: 8192) { room, used in
                count = P.take(source, UnsafeMutableRawBufferPointer(room))
                used = max(0, count)
            }
            if count > 0 { state = .full(bytes[...]) } else if count == 0 { state = .done } else { try excuse("read") }
        case .full(let bytes) where fdIsSet(sink, &w) != 0:
            let count = bytes.withUnsafeBytes { P.give(sink, $0) }
            guard count >= 0 else { return try excuse("write") }
            state = count == bytes.count ? .empty : .full(bytes.dropFirst(count))
        default: break
        }
    }

    private func excuse(_ call: String) throws {
        if errno != EINTR && errno != EAGAIN { throw SocketError(call, errno) }
    }
}

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let highest = [socket, input, output].max()!
    guard highest < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var say = Lane<ToPeer>(source: input, sink: socket)
    var hear = Lane<FromPeer>(source: socket, sink: output)
    while !hear.isDone {
        var r = set([])
        var w = set([])
        hear.ask(&r, &w)
        say.ask(&r, &w)
        guard select(highest + 1, &r, &w, nil, nil) >= 0 else {
            guard errno == EINTR else { throw SocketError("select", errno) }
            continue
        }
        try hear.go(&r, &w)
        if hear.isDone { return }
        let wasDone = say.isDone
        try say.go(&r, &w)
        if say.isDone && !wasDone { shutdown(socket, SHUT_WR) }
    }
}
