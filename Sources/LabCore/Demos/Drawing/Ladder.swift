/// What both sides did, call beside call, with what went between them: a sequence diagram that grows while it happens.
///
/// Calls come from several taps, each in its own order but only roughly in one common order; so a row waits a moment for
/// its other half (the receive for a send, the accept for a connect) before it is handed out. `StreamMatcher` and
/// `DatagramMatcher` find the halves, `SocketTable` knows which descriptor is which connection, `LadderText` makes lines of
/// the rows.
import Course
import Sockets
import Wire

struct Ladder {
    private var parties: [Party] = []
    private var lanes = Lanes()
    private var sockets = SocketTable()
    private var streams = StreamMatcher()
    private var datagrams = DatagramMatcher()
    private var rows: [Int: LadderRow] = [:]
    private var nextRow = 0
    private var connects: [SocketTable.Connection: Int] = [:]
    private var accepts: [SocketTable.Connection: Int] = [:]
    /// Begun by a connect that does not block: the server may accept what the client has closed already.
    private var begun: Set<SocketTable.Connection> = []
    /// Connections whose both ends are parties.
    private var known: Set<SocketTable.Connection> = []

    // MARK: In

    mutating func join(_ party: Party) -> Int {
        parties.append(party)
        lanes.join()
        return parties.count - 1
    }

    /// The party will be given one end of a connection, under this number.
    mutating func adopt(
        _ descriptor: Int32, _ party: Int, local: SocketAddress, remote: SocketAddress, isClient: Bool
    ) {
        let connection = SocketTable.Connection(
            client: isClient ? local : remote, serverPort: isClient ? remote.port : local.port)
        sockets.adopt(descriptor, party, connection, local: local, remote: remote, isClient: isClient)
        // With a party on the other side, that side has the other end.
        if parties.contains(where: { $0.side != side(party) }) { known.insert(connection) }
    }

    mutating func putNetworkBetween() { datagrams.hasNetworkBetween = true }

    mutating func note(_ fate: DatagramMatcher.Fate, for bytes: [UInt8], to side: Side) {
        apply(datagrams.note(fate, for: bytes, to: side))
    }

    /// - Parameter call: as it was entered, or as it returned.
    mutating func add(_ call: Call, from party: Int, now: UInt64) {
        sockets.heard(call, party)
        guard call.returned != nil else {
            lanes.entered(call, party)
            if call.name == "fork" { sockets.forkEntered(call, party) }
            return
        }
        lanes.returned(call, party)
        switch call.name {
        case "socket" where call.result >= 0:
            sockets.open(call.result, call, party, isStream: call.arguments.1 & 0xf == Int64(SOCK_STREAM as Int32))
            put(call, party, now)
        case "bind", "listen":
            if let found = call.found { sockets.change(call, party) { $0.local = found } }
            put(call, party, now)
        case "getsockopt":
            if call.pendingError == 0 { sockets.change(call, party) { $0.hasEnded = false } }
            put(call, party, now)
        case "fork":
            sockets.forkReturned(call, party)
            put(call, party, now)
        case "connect": connected(call, party, now)
        case "accept", "accept4": accepted(call, party, now)
        case "shutdown" where call.result == 0 && call.arguments.0 != Int64(SHUT_RD as Int32):
            let entry = sockets.entry(call, party)
            sockets.change(call, party) { $0.hasEnded = true }
            ended(call, party, entry, now)
        case "close" where call.result == 0: ended(call, party, sockets.close(call, party), now)
        default:
            if call.isSend, call.result >= 0 {
                sent(call, party, now)
            } else if call.isReceive, call.result >= 0 || call.error == ECONNRESET {
                received(call, party, now)
            } else if call.isReceive, call.error == ECONNREFUSED {
                let sender = sockets.entry(call, party)?.remote
                refused(call, party, say("ICMP: no such port", "ICMP：没有此端口"), to: side(party), by: sender, now)
            } else {
                put(call, party, now)
            }
        }
    }

    // MARK: Connections

    private mutating func connected(_ call: Call, _ party: Int, _ now: UInt64) {
        guard call.result == 0, let entry = sockets.entry(call, party), entry.isStream, let local = call.found,
            let remote = call.given
        else {
            if call.error == EINPROGRESS, let local = call.found, let remote = call.given {
                begun(call, party, from: local, to: remote, now)
                return
            }
            if call.error == ECONNREFUSED {
                refused(call, party, "SYN, RST", to: side(party).opposite, by: call.given, now)
                return
            }
            if call.result == 0 {
                sockets.change(call, party) {
                    $0.local = call.found
                    $0.remote = call.given
                }
            }
            put(call, party, now)
            return
        }
        let connection = SocketTable.Connection(client: local, serverPort: remote.port)
        sockets.change(call, party) {
            $0.local = local
            $0.remote = remote
            $0.connection = connection
            $0.isClient = true
        }
        sockets.begin(connection, isClient: true)
        let row = put(call, party, now, Arrow(to: side(party).opposite, content: .handshake), stranger: remote)
        rows[row]?.connection = connection
        if let other = accepts.removeValue(forKey: connection) {
            known.insert(connection)
            apply([.pair(row, other)])
        } else {
            connects[connection] = row
        }
    }

    /// The first segment is out; what becomes of it no call of this side tells.
    private mutating func begun(
        _ call: Call, _ party: Int, from local: SocketAddress, to remote: SocketAddress, _ now: UInt64
    ) {
        let connection = SocketTable.Connection(client: local, serverPort: remote.port)
        sockets.change(call, party) {
            $0.local = local
            $0.remote = remote
            $0.connection = connection
            $0.isClient = true
            // Until SO_ERROR says that it stands there is nothing to end.
            $0.hasEnded = true
        }
        sockets.begin(connection, isClient: true)
        let row = put(call, party, now, Arrow(to: side(party).opposite, content: .segment("SYN")), stranger: remote)
        rows[row]?.awaitsOther = false
        rows[row]?.connection = connection
        connects[connection] = row
        begun.insert(connection)
    }

    private mutating func refused(
        _ call: Call, _ party: Int, _ how: String, to side: Side, by address: SocketAddress?, _ now: UInt64
    ) {
        let row = put(call, party, now, Arrow(to: side, content: .refused(how)), stranger: address)
        rows[row]?.awaitsOther = false
    }

    private mutating func accepted(_ call: Call, _ party: Int, _ now: UInt64) {
        if call.result >= 0 { sockets.accepted(call, party) }
        guard call.result >= 0, let connection = sockets.entry(onResultOf: call, party)?.connection else {
            put(call, party, now)
            return
        }
        let arrow = Arrow(to: side(party), content: .handshake)
        let row = put(call, party, now, arrow, stranger: call.found)
        rows[row]?.connection = connection
        // The client's connect has come back already, or is just about to.
        if let other = connects.removeValue(forKey: connection) {
            known.insert(connection)
            apply([.pair(other, row)])
        } else {
            accepts[connection] = row
        }
    }

    private mutating func ended(_ call: Call, _ party: Int, _ entry: SocketTable.Entry?, _ now: UInt64) {
        guard let entry, !entry.hasEnded, let connection = entry.connection else {
            put(call, party, now)
            return
        }
        let arrow = Arrow(to: side(party).opposite, content: .end)
        let row = put(call, party, now, arrow, stranger: entry.stranger)
        rows[row]?.connection = connection
        let isShared = known.contains(connection) || connects[connection] != nil || accepts[connection] != nil
        if isShared { apply(streams.ended(row, .init(connection: connection, fromClient: entry.isClient))) }
        // A peer that has closed already hears nothing of it.
        if rows[row]?.awaitsOther == true, sockets.isGone(connection, isClient: !entry.isClient) {
            apply([.apart(row, .intoBuffer)])
        }
        if call.name == "close", !known.contains(connection), begun.remove(connection) == nil { forget(connection) }
    }

    private mutating func forget(_ connection: SocketTable.Connection) {
        streams.forget(connection)
        sockets.forget(connection)
        (connects[connection], accepts[connection]) = (nil, nil)
    }

    // MARK: Bytes

    private mutating func sent(_ call: Call, _ party: Int, _ now: UInt64) {
        guard let entry = sockets.entry(call, party), call.result > 0 || !entry.isStream else {
            put(call, party, now)
            return
        }
        let count = Int(call.result)
        let arrow = Arrow(
            to: side(party).opposite, content: .bytes(Array(call.data.prefix(count)), count: count))
        let row = put(call, party, now, arrow, stranger: call.given ?? entry.stranger)
        rows[row]?.connection = entry.connection
        if let connection = entry.connection {
            apply(streams.sent(row, count, .init(connection: connection, fromClient: entry.isClient)))
        } else if !entry.isStream {
            let destination = call.given ?? entry.remote
            if let destination, sockets.hasDatagramSocket(at: destination) { rows[row]?[arrow.to] = nil }
            datagrams.forget(isDrawn: { rows[$0] == nil }, isOver: true)
            apply(
                datagrams.sent(
                    .init(
                        row: row, party: party, to: arrow.to, bytes: call.data, count: count, own: entry.local,
                        other: destination)))
        }
    }

    private mutating func received(_ call: Call, _ party: Int, _ now: UInt64) {
        guard let entry = sockets.entry(call, party) else {
            put(call, party, now)
            return
        }
        let count = Int(call.result)
        var arrow = Arrow(to: side(party), content: .bytes(Array(call.data.prefix(max(0, count))), count: count))
        if entry.isStream, count <= 0 { arrow.content = count == 0 ? .end : .reset }
        let row = put(call, party, now, arrow, stranger: call.found ?? entry.stranger)
        rows[row]?.connection = entry.connection
        if let connection = entry.connection {
            let direction = StreamMatcher.Direction(connection: connection, fromClient: !entry.isClient)
            apply(count > 0 ? streams.received(row, count, direction) : streams.sawEnd(row, direction))
        } else if !entry.isStream {
            apply(
                datagrams.received(
                    .init(
                        row: row, party: party, to: arrow.to, bytes: call.data, count: count, own: entry.local,
                        other: call.found),
                    isFree: { rows[$0]?.isFree(arrow.to) == true }))
        }
    }

    // MARK: Rows

    private func side(_ party: Int) -> Side { parties[party].side }

    @discardableResult
    private mutating func put(
        _ call: Call, _ party: Int, _ now: UInt64, _ arrow: Arrow? = nil, stranger: SocketAddress? = nil
    ) -> Int {
        // A send is where it began, a receive where it ended: what follows from it comes later.
        let began = call.isSend || ["connect", "shutdown", "close", "fork"].contains(call.name)
        // Somebody stands on the other side whose calls are seen.
        let isPeopled = parties.contains { $0.side != side(party) }
        var row = LadderRow(
            time: began ? call.entered : call.returned ?? call.entered, seen: now, arrow: arrow,
            awaitsOther: arrow != nil && isPeopled)
        row[side(party)] = cell(call, party)
        row.places = [(Lane(call, party), row.time)]
        if arrow != nil, let stranger, !stranger.host.isEmpty {
            row[side(party).opposite] = .stranger(stranger.description)
        }
        rows[nextRow] = row
        nextRow += 1
        return nextRow - 1
    }

    private mutating func cell(_ call: Call, _ party: Int) -> LadderRow.Cell {
        let name = lanes.name(call, party, ordinal: sockets.entry(call, party)?.ordinal)
        return .call(call, lane: parties[party].tag + name, note: lanes.note(call, party))
    }

    private mutating func apply(_ matches: [Match]) {
        for match in matches {
            switch match {
            case .pair(let first, let second): pair(first, second)
            case .apart(let row, let reach):
                rows[row]?.awaitsOther = false
                rows[row]?.arrow?.reach = reach
            }
        }
    }

    /// Both are halves of one thing: the second becomes part of the first, unless one of them is drawn already.
    private mutating func pair(_ first: Int, _ second: Int) {
        guard var row = rows[first], let other = rows[second], let to = other.arrow?.to, row.isFree(to) else {
            apply([.apart(first, .intoBuffer), .apart(second, .fromBuffer)])
            return
        }
        row[to] = other[to]
        row.places += other.places
        row.awaitsOther = false
        row.arrow?.reach = .across
        // A close that cut something off is seen as a reset.
        if other.arrow?.content == .reset { row.arrow?.content = .reset }
        rows[first] = row
        rows[second] = nil
    }

    // MARK: Out

    /// How long a row waits for its other half, and how long any row waits for one that belongs before it (ns).
    private static let patience: UInt64 = 150_000_000
    private static let jitter: UInt64 = 25_000_000

    var isEmpty: Bool { rows.isEmpty }

    /// The rows that nothing can change any more, in order.
    ///
    /// - Parameter all: those too that still wait.
    mutating func take(now: UInt64, all: Bool) -> [LadderRow] {
        var ready: [LadderRow] = []
        var waiting = rows.sorted { ($0.value.time, $0.key) < ($1.value.time, $1.key) }
        while !waiting.isEmpty {
            // What arrived is drawn where it was sent, but never before what its receiver did first: the earliest row that
            // follows no other. (In a circle, which only a clock could make, the earliest.)
            let index = waiting.firstIndex { row in !waiting.contains { row.value.follows($0.value) } } ?? 0
            let (id, row) = waiting.remove(at: index)
            let age = now - min(row.seen, now)
            guard all || age > (row.awaitsOther ? Ladder.patience : Ladder.jitter) else { break }
            ready.append(finished(row))
            rows[id] = nil
        }
        datagrams.forget(isDrawn: { rows[$0] == nil }, isOver: false)
        return ready
    }

    private func finished(_ row: LadderRow) -> LadderRow {
        var row = row
        guard let arrow = row.arrow else { return row }
        let isKnown = row.connection.map { known.contains($0) } ?? false
        // Whoever is a party is not named by an address, nor is one of whom the network alone knows.
        let isAmongUs = isKnown || datagrams.hasNetworkBetween || arrow.reach == .branch
        // Its other half has not turned up.
        if row.awaitsOther {
            let isSender = row.isFree(arrow.to)
            if isSender, arrow.content == .handshake {
                row[arrow.to] = nil
                row.arrow?.reach = .intoBuffer
            } else if isAmongUs || row[isSender ? arrow.to : arrow.to.opposite] == nil {
                row.arrow?.reach = isSender ? .intoBuffer : datagrams.hasNetworkBetween ? .late : .fromBuffer
            }
        }
        if isAmongUs { for side in [Side.left, .right] where row.isFree(side) { row[side] = nil } }
        return row
    }

    // MARK: Waiting

    /// Nothing is on its way, and every thread on this side waits in a call or has come to its end.
    func isQuiet(_ side: Side) -> Bool {
        !rows.values.contains(where: \.awaitsOther)
            && parties.indices.allSatisfy { parties[$0].side != side || lanes.isQuiet($0) }
    }

    /// A row for each call that waits and has not been shown waiting.
    mutating func takeWaiting(_ side: Side, now: UInt64) -> [LadderRow] {
        var waiting: [LadderRow] = []
        for party in parties.indices where parties[party].side == side {
            for call in lanes.takeWaiting(party) {
                var row = LadderRow(time: call.entered, seen: now, awaitsOther: false)
                row[side] = cell(call, party)
                waiting.append(row)
            }
        }
        return waiting.sorted { $0.time < $1.time }
    }
}

extension SocketTable {
    /// The socket that `accept` returned.
    func entry(onResultOf call: Call, _ party: Int) -> Entry? {
        var accepted = call
        accepted.descriptor = Int32(call.result)
        return entry(accepted, party)
    }
}
