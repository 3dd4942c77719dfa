// Which descriptor is which socket, of which connection: learnt from the calls of all parties. After a fork two processes
// have the same socket, and it is closed when both have closed it.
import Sockets
import Wire

struct SocketTable {
    /// A TCP connection, as both of its ends can tell: the client's address and the server's port.
    struct Connection: Hashable {
        var client: SocketAddress
        var serverPort: UInt16
    }

    struct Entry {
        var isStream: Bool
        var local: SocketAddress?
        /// As `connect` was told it.
        var remote: SocketAddress?
        var connection: Connection?
        /// Is this the end that connected?
        var isClient = false
        /// The how manieth connection that its party accepted, from 1.
        var ordinal: Int?
        /// Processes that have it open; a fork that has not been heard of yet counts as one.
        var holders: Set<Int32>
        /// Its side of the stream has been ended.
        var hasEnded = false

        /// Whom it speaks to, for those who do not see that end.
        var stranger: SocketAddress? { isClient ? remote : connection?.client ?? remote }
    }

    private struct Process: Hashable {
        var party: Int
        var number: Int32
    }

    private struct End: Hashable {
        var connection: Connection
        var isClient: Bool
    }

    private var entries: [Int: Entry] = [:]
    private var gone: Set<End> = []
    private var acceptCounts: [Int: Int] = [:]
    private var next = 0
    private var descriptors: [Process: [Int32: Int]] = [:]
    /// What a process had open when it forked, for the child to be found by; and the holder that stands in for it.
    private var forks: [(party: Int, parent: Int32, open: [Int32: Int], standIn: Int32)] = []
    private var standIns: Int32 = -1

    /// What parties will be given, until the process is heard of that has it.
    private var adopted: [Int: [Int32: Entry]] = [:]

    mutating func adopt(
        _ descriptor: Int32, _ party: Int, _ connection: Connection, local: SocketAddress, remote: SocketAddress,
        isClient: Bool
    ) {
        begin(connection, isClient: isClient)
        adopted[party, default: [:]][descriptor] = Entry(
            isStream: true, local: local, remote: remote, connection: connection, isClient: isClient, holders: [])
    }

    func entry(_ call: Call, _ party: Int) -> Entry? { index(call.descriptor, call, party).flatMap { entries[$0] } }

    /// A party has the port that such a datagram goes to.
    func hasDatagramSocket(at address: SocketAddress) -> Bool {
        entries.values.contains { !$0.isStream && $0.local?.port == address.port }
    }

    mutating func change(_ call: Call, _ party: Int, _ change: (inout Entry) -> Void) {
        guard let index = index(call.descriptor, call, party), var entry = entries[index] else { return }
        change(&entry)
        entries[index] = entry
    }

    mutating func open(_ descriptor: Int64, _ call: Call, _ party: Int, isStream: Bool) {
        guard descriptor >= 0 else { return }
        let process = Process(party: party, number: call.process)
        entries[next] = Entry(isStream: isStream, holders: [call.process])
        descriptors[process, default: [:]][Int32(descriptor)] = next
        next += 1
    }

    /// A connection that `accept` returned.
    mutating func accepted(_ call: Call, _ party: Int) {
        let listener = entry(call, party)
        open(call.result, call, party, isStream: true)
        acceptCounts[party, default: 0] += 1
        if let index = index(Int32(call.result), call, party) { entries[index]?.ordinal = acceptCounts[party] }
        guard let peer = call.found, let local = listener?.local, peer.family != AF_UNIX else { return }
        let connection = Connection(client: peer, serverPort: local.port)
        if let index = index(Int32(call.result), call, party) {
            entries[index]?.local = local
            entries[index]?.connection = connection
        }
        begin(connection, isClient: false)
    }

    /// - Returns: the entry, if nobody has it open any more.
    mutating func close(_ call: Call, _ party: Int) -> Entry? {
        let process = Process(party: party, number: call.process)
        guard let index = descriptors[process]?.removeValue(forKey: call.descriptor) else { return nil }
        entries[index]?.holders.remove(call.process)
        guard let entry = entries[index], entry.holders.isEmpty else { return nil }
        entries[index] = nil
        if let connection = entry.connection {
            gone.insert(End(connection: connection, isClient: entry.isClient))
        }
        return entry
    }

    /// Ports are used again: a new connection may have the name of an old one.
    mutating func begin(_ connection: Connection, isClient: Bool) {
        gone.remove(End(connection: connection, isClient: isClient))
    }

    mutating func forget(_ connection: Connection) {
        for isClient in [true, false] { begin(connection, isClient: isClient) }
    }

    /// That end of the connection has been closed by all who had it.
    func isGone(_ connection: Connection, isClient: Bool) -> Bool {
        gone.contains(End(connection: connection, isClient: isClient))
    }

    // MARK: Forks

    mutating func forkEntered(_ call: Call, _ party: Int) {
        let open = descriptors[Process(party: party, number: call.process)] ?? [:]
        for index in open.values { entries[index]?.holders.insert(standIns) }
        forks.append((party, call.process, open, standIns))
        standIns -= 1
    }

    mutating func forkReturned(_ call: Call, _ party: Int) {
        guard let position = forks.firstIndex(where: { $0.party == party && $0.parent == call.process }) else { return }
        let fork = forks.remove(at: position)
        guard call.result > 0 else {
            for index in fork.open.values { entries[index]?.holders.remove(fork.standIn) }
            return
        }
        give(fork.open, standIn: fork.standIn, to: Process(party: party, number: Int32(call.result)))
    }

    /// A process that is heard of for the first time is the child of a fork that has not returned yet.
    mutating func heard(_ call: Call, _ party: Int) {
        let process = Process(party: party, number: call.process)
        for (descriptor, entry) in adopted.removeValue(forKey: party) ?? [:] {
            entries[next] = entry
            entries[next]?.holders = [call.process]
            descriptors[process, default: [:]][descriptor] = next
            next += 1
        }
        guard descriptors[process] == nil else { return }
        guard let position = forks.firstIndex(where: { $0.party == party && $0.parent != call.process }) else {
            descriptors[process] = [:]
            return
        }
        let fork = forks[position]
        give(fork.open, standIn: fork.standIn, to: process)
    }

    private mutating func give(_ open: [Int32: Int], standIn: Int32, to child: Process) {
        // Known already: its first call was heard of before the parent's fork returned.
        guard descriptors[child] == nil else { return }
        descriptors[child] = open
        for index in open.values where entries[index]?.holders.remove(standIn) != nil {
            entries[index]?.holders.insert(child.number)
        }
    }

    private func index(_ descriptor: Int32, _ call: Call, _ party: Int) -> Int? {
        descriptors[Process(party: party, number: call.process)]?[descriptor]
    }
}
