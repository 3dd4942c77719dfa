import Course
import Sockets

/// What the chat is doing at the moment. There is one thread, so it does one thing at a time.
private enum Task {
    case listening
    case carrying(ArraySlice<UInt8>, toPeer: Bool)
}

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    for descriptor in [socket, input, output] where descriptor >= Int32(FD_SETSIZE) {
        throw SocketError("select", EMFILE)
    }
    var task = Task.listening
    var keyboard: Int32? = input
    // Who is asked first: taken in turns, so that a chatty side does not keep the other from being heard.
    var peerFirst = true

    while true {
        switch task {
        case .listening:
            let ready = try waiting(toRead: [socket] + (keyboard.map { [$0] } ?? []), toWrite: nil)
            let sources = peerFirst ? [socket, input] : [input, socket]
            peerFirst.toggle()
            guard let source = sources.first(where: ready.contains) else { continue }
            guard let bytes = try fetch(source) else { continue }
            if !bytes.isEmpty {
                task = .carrying(bytes[...], toPeer: source != socket)
            } else if source == socket {
                return
            } else {
                keyboard = nil
                shutdown(socket, SHUT_WR)
            }

        case .carrying(let bytes, let toPeer):
            let target = toPeer ? socket : output
            guard try waiting(toRead: [], toWrite: target).contains(target) else { continue }
            let count = bytes.withUnsafeBytes { part in
                toPeer
                    ? send(target, part.baseAddress, part.count, MSG_NOSIGNAL | MSG_DONTWAIT)
                    : write(target, part.baseAddress, min(part.count, 4096))
            }
            if count < 0 {
                if errno != EINTR && errno != EAGAIN { throw SocketError(toPeer ? "send" : "write", errno) }
                continue
            }
            let rest = bytes.dropFirst(count)
            task = rest.isEmpty ? .listening : .carrying(rest, toPeer: toPeer)
        }
    }
}

/// - Returns: those that are ready; none if a signal came.
private func waiting(toRead sources: [Int32], toWrite target: Int32?) throws -> Set<Int32> {
    var readable = fd_set()
    var writable = fd_set()
    fdZero(&readable)
    fdZero(&writable)
    sources.forEach { fdSet($0, &readable) }
    if let target { fdSet(target, &writable) }
    let highest = (sources + (target.map { [$0] } ?? [])).max() ?? -1
    guard select(highest + 1, &readable, &writable, nil, nil) >= 0 else {
        if errno == EINTR { return [] }
        throw SocketError("select", errno)
    }
    var ready = Set(sources.filter { fdIsSet($0, &readable) != 0 })
    if let target, fdIsSet(target, &writable) != 0 { ready.insert(target) }
    return ready
}

/// - Returns: empty at the end; nil if there was nothing after all.
private func fetch(_ source: Int32) throws -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(source, &buffer, buffer.count)
    if count >= 0 { return Array(buffer[..<count]) }
    if errno == EINTR || errno == EAGAIN { return nil }
    throw SocketError("read", errno)
}
