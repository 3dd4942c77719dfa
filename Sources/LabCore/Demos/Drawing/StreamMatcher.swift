/// Which receive took the bytes of which send, in each direction of each connection.
///
/// A receive that took exactly one send stands beside it; all others stand apart, with the kernel's buffer between them.
/// Rows are named by the numbers that `Ladder` gives them; either half of a pair may be heard of first.
struct StreamMatcher {
    struct Direction: Hashable {
        var connection: SocketTable.Connection
        var fromClient: Bool
    }

    private struct Flow {
        var sends: [(row: Int, left: Int, isWhole: Bool)] = []
        var receives: [(row: Int, count: Int)] = []
        /// FIN, where it was sent and where it was seen.
        var end: Int?
        var seenEnd: Int?
    }

    private var flows: [Direction: Flow] = [:]

    mutating func sent(_ row: Int, _ count: Int, _ direction: Direction) -> [Match] {
        flows[direction, default: Flow()].sends.append((row, count, true))
        return reconcile(direction)
    }

    mutating func received(_ row: Int, _ count: Int, _ direction: Direction) -> [Match] {
        flows[direction, default: Flow()].receives.append((row, count))
        return reconcile(direction)
    }

    mutating func ended(_ row: Int, _ direction: Direction) -> [Match] {
        flows[direction, default: Flow()].end = row
        return reconcile(direction)
    }

    /// A receive that returned 0, or ECONNRESET.
    mutating func sawEnd(_ row: Int, _ direction: Direction) -> [Match] {
        flows[direction, default: Flow()].seenEnd = row
        return reconcile(direction)
    }

    mutating func forget(_ connection: SocketTable.Connection) {
        for fromClient in [true, false] { flows[Direction(connection: connection, fromClient: fromClient)] = nil }
    }

    private mutating func reconcile(_ direction: Direction) -> [Match] {
        guard var flow = flows[direction] else { return [] }
        var matches: [Match] = []
        while let receive = flow.receives.first, let send = flow.sends.first {
            // The call that sent the rest has not been heard of yet.
            guard flow.sends.reduce(0, { $0 + $1.left }) >= receive.count else { break }
            flow.receives.removeFirst()
            if send.isWhole && send.left == receive.count {
                flow.sends.removeFirst()
                matches.append(.pair(send.row, receive.row))
                continue
            }
            matches.append(.apart(receive.row, .fromBuffer))
            var wanted = receive.count
            while wanted > 0 {
                let taken = min(wanted, flow.sends[0].left)
                matches.append(.apart(flow.sends[0].row, .intoBuffer))
                flow.sends[0].left -= taken
                flow.sends[0].isWhole = false
                wanted -= taken
                if flow.sends[0].left == 0 { flow.sends.removeFirst() }
            }
        }
        flows[direction] = flow
        if let end = flow.end, let seen = flow.seenEnd {
            matches.append(.pair(end, seen))
            flows[direction] = nil
        }
        return matches
    }
}

/// What is known of rows that were waiting for their other halves.
enum Match {
    /// The second is the other half of the first.
    case pair(Int, Int)
    /// It has no other half, or stands apart from it.
    case apart(Int, Arrow.Reach)
}
