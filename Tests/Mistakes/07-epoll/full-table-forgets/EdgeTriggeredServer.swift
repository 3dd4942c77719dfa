import Course
import Sockets

/// Edge-triggered: a descriptor is reported when something *new* happens to it, once. Whoever is told has to read until
/// EAGAIN, accept until EAGAIN, and remember by itself what it did not finish.
func edgeTriggeredServer(host: String, port: UInt16) throws {
    let listener = try makeListener(host: host, port: port)
    defer { close(listener) }
    var poller = try Poller()
    defer { close(poller.descriptor) }
    // Both directions from the start, and never changed again: an edge costs nothing while nothing changes.
    let everything = Poller.Interest(reading: true, writing: true, onEdges: true)
    try poller.add(listener, .init(reading: true, writing: false, onEdges: true))
    var clients: [Int32: Client] = [:]
    var buffer = makeReceiveBuffer()
    defer { for descriptor in clients.keys { close(descriptor) } }
    // What no edge will remind us of: clients that we left before they were done, and a queue that we could not empty.
    var unfinished: Set<Int32> = []
    var someoneWaits = false

    while true {
        let timeout: Int? = !unfinished.isEmpty ? 0 : someoneWaits ? 100 : nil
        for event in try poller.wait(timeout: timeout) {
            if event.descriptor == listener {
                someoneWaits = true
            } else {
                unfinished.insert(event.descriptor)
            }
        }
        for descriptor in unfinished {
            let client = clients[descriptor]
            if client?.advance(descriptor, using: &buffer) != true { unfinished.remove(descriptor) }
            if client?.isFinished == true {
                clients[descriptor] = nil
                close(descriptor)
            }
        }
        accepting: while someoneWaits {
            switch try acceptClient(listener) {
            case .client(let connection):
                try poller.add(connection, everything)
                clients[connection] = Client()
            case .nobody: someoneWaits = false
            case .noRoom:
                // Full. The listener will tell us again.
                someoneWaits = false
                break accepting
            }
        }
    }
}

extension Client {
    /// Receives and sends until the kernel has nothing more and takes nothing more.
    ///
    /// - Returns: true if it stopped before that, so that one busy client does not keep all others waiting: call again.
    fileprivate func advance(_ descriptor: Int32, using buffer: inout [UInt8]) -> Bool {
        for _ in 0..<16 {
            let mayHaveMore = wantsToReceive && receive(from: descriptor, using: &buffer)
            let mayTakeMore = wantsToSend && send(to: descriptor)
            // Not receiving because too much is pending is no reason to go on: room comes with an edge, for writing. But
            // when sending has just made room, what lies in the receive buffer has had its edge already.
            if !mayHaveMore && !mayTakeMore { return false }
        }
        return !isFinished
    }
}
