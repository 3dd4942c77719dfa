import Course
import Sockets

/// Takes everybody in the queue.
///
/// - Returns: true if somebody may still be there, for whom there is no descriptor.
private func takeNewcomers(_ listener: Int32, _ welcome: (Int32) throws -> Void) throws -> Bool {
    while true {
        let newcomer = accept(listener, nil, nil)
        if newcomer >= 0 {
            setNonblocking(newcomer)
            try welcome(newcomer)
            continue
        }
        switch errno {
        case EINTR: continue
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return true
        // Empty; or it left before it was its turn, and there is nobody to be taken.
        case EAGAIN, ECONNABORTED, EPROTO: return false
        // The network's own troubles are that connection's, not the listener's (accept(2)).
        case ENETDOWN, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH, ENOPROTOOPT, EOPNOTSUPP: continue
        default: throw SocketError("accept", errno)
        }
    }
}

private enum Progress { case more, waiting, finished }

/// One pass over a client: everything there is to read, everything there is to write, but not for ever.
private func work(_ descriptor: Int32, _ client: Client, _ buffer: inout [UInt8]) -> Progress {
    var rounds = 0
    while rounds < 20 {
        rounds += 1
        var moved = false
        if client.wantsToReceive { moved = client.receive(from: descriptor, using: &buffer) }
        if client.wantsToSend { moved = client.send(to: descriptor) || moved }
        if client.isFinished { return .finished }
        if !moved { return .waiting }
    }
    return .more
}

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var poller = try Poller()
    defer { close(poller.descriptor) }
    try poller.add(listener, Poller.Interest(reading: true, writing: false, onEdges: true))

    var buffer = makeReceiveBuffer()
    var clients: [Int32: Client] = [:]
    var busy: [Int32] = []
    var isFull = false
    defer { for descriptor in clients.keys { close(descriptor) } }

    while true {
        var isListenerReady = isFull
        var turn = busy
        busy.removeAll()
        for event in try poller.wait(timeout: turn.isEmpty ? (isFull ? 100 : nil) : 0) {
            if event.descriptor == listener {
                isListenerReady = true
            } else if !turn.contains(event.descriptor) {
                turn.append(event.descriptor)
            }
        }
        for descriptor in turn {
            guard let client = clients[descriptor] else { continue }
            switch work(descriptor, client, &buffer) {
            case .more: busy.append(descriptor)
            case .waiting: break
            case .finished:
                clients.removeValue(forKey: descriptor)
                close(descriptor)
            }
        }
        if isListenerReady {
            isFull = try takeNewcomers(listener) { newcomer in
                clients[newcomer] = Client()
                try poller.add(newcomer, Poller.Interest(reading: true, writing: true, onEdges: true))
            }
        }
    }
}
