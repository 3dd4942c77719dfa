import Course
import Sockets

func edgeTriggeredServer(host: String, port: UInt16) throws {
    let reception = try Reception(host: host, port: port)
    defer { reception.close() }
    var poller = try Poller()
    defer { close(poller.descriptor) }
    try poller.add(reception.listener, .init(reading: true, writing: false, onEdges: true))

    var clients: [Int32: Client] = [:]
    defer { for descriptor in clients.keys { close(descriptor) } }
    var buffer = makeReceiveBuffer()
    var later: Set<Int32> = []

    while true {
        var arrived = false
        var now = later
        later = []
        for event in try poller.wait(timeout: now.isEmpty ? nil : 0) {
            if event.descriptor == reception.listener { arrived = true } else { now.insert(event.descriptor) }
        }
        for descriptor in now {
            guard let client = clients[descriptor] else { continue }
            switch exchange(client, descriptor, &buffer) {
            case .finished:
                clients[descriptor] = nil
                close(descriptor)
            case .interrupted: later.insert(descriptor)
            case .drained: break
            }
        }
        guard arrived else { continue }
        while let descriptor = try reception.next() {
            clients[descriptor] = Client()
            try poller.add(descriptor, .init(reading: true, writing: true, onEdges: true))
        }
    }
}

private enum Exchange {
    case drained
    case interrupted
    case finished
}

private func exchange(_ client: Client, _ descriptor: Int32, _ buffer: inout [UInt8]) -> Exchange {
    var turns = 12
    var moves = true
    while moves && turns > 0 && !client.isFinished {
        turns -= 1
        moves = false
        if client.wantsToReceive && client.receive(from: descriptor, using: &buffer) { moves = true }
        if client.wantsToSend && client.send(to: descriptor) { moves = true }
    }
    return client.isFinished ? .finished : moves ? .interrupted : .drained
}

/// Whoever knocks is let in, and nobody is left standing in the queue: its edge has been.
private final class Reception {
    let listener: Int32
    /// A descriptor that is kept for the day on which there is no other.
    private var spare: Int32

    init(host: String, port: UInt16) throws {
        listener = try makeListener(host: host, port: port)
        spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
    }

    func close() {
        Sockets.close(listener)
        if spare >= 0 { Sockets.close(spare) }
    }

    /// Nil when the queue is empty.
    func next() throws -> Int32? {
        while true {
            switch try acceptClient(listener) {
            case .client(let descriptor): return descriptor
            case .nobody: return nil
            case .noRoom:
                // With the spare one given up there is room for just one: to take it and to tell it that we are full.
                guard spare >= 0 else {
                    poll(nil, 0, 20)
                    spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
                    continue
                }
                Sockets.close(spare)
                let refused = try acceptClient(listener)
                if case .client(let descriptor) = refused { Sockets.close(descriptor) }
                spare = open("/dev/null", O_RDONLY | O_CLOEXEC)
                if case .nobody = refused { return nil }
            }
        }
    }
}
