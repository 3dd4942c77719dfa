/// What both sides did, call beside call, with what went between them: a sequence diagram that grows while it happens.
///
/// Calls come from several taps, each in its own order but only roughly in one common order; so a row waits a moment for
/// its other half (the receive for a send, the accept for a connect) before it is handed out. Owns the matching of halves;
/// `LadderText` makes lines of the rows, `SocketTable` knows which descriptor is which connection.
import Sockets
import Wire

struct Ladder {
    /// What a bad network did with a datagram (`DatagramNetwork.Fate`, as far as a drawing shows it).
    enum Fate: Equatable {
        case delivered
        case lost
        case repeated
        case delayed(Int)
        case overtaken
    }

    private(set) var parties: [Party] = []
    /// Datagrams go through somebody in between: their addresses do not tell who gets them.
    var hasNetworkBetween = false

    private var sockets = SocketTable()
    private var rows: [Int: LadderRow] = [:]
    private var nextRow = 0
    private var flows: [Direction: Flow] = [:]
    private var connects: [SocketTable.Connection: Int] = [:]
    private var accepts: [SocketTable.Connection: Int] = [:]
    private var sentDatagrams: [Datagram] = []
    private var receivedDatagrams: [Datagram] = []
    /// What the network decided for datagrams whose sending has not been heard of yet, and for copies on their way.
    private var fates: [Passing: [Fate]] = [:]
    private var copies: [Passing: Int] = [:]
    /// Connections whose both ends are parties.
    private var known: Set<SocketTable.Connection> = []
    /// Calls that have not returned, by thread (a signal handler's above the one that it interrupts); and which of them
    /// have been shown as waiting.
    private var open: [Lane: [Call]] = [:]
    private var lanes: [[Lane]] = []
    /// Of each party the child processes, in the order in which they were heard of.
    private var children: [[Int32]] = []
    private var lastNames: [Lane: String] = [:]
    private var shownWaiting: [Lane: UInt64] = [:]

    struct Lane: Hashable {
        var party: Int
        var process: Int32
        var thread: Int32
    }

    private struct Direction: Hashable {
        var connection: SocketTable.Connection
        var fromClient: Bool
    }

    /// A datagram as the network in between sees it.
    private struct Passing: Hashable {
        var to: Side
        var bytes: [UInt8]

        init(to: Side, bytes: [UInt8]) {
            self.to = to
            self.bytes = Array(bytes.prefix(64))
        }
    }

    /// One direction of a connection: what was sent and has not been received, what was received and not heard sent.
    private struct Flow {
        var sends: [(row: Int, left: Int, isWhole: Bool)] = []
        var receives: [(row: Int, count: Int)] = []
        var end: Int?
        var seenEnd: Int?
    }

    private struct Datagram {
        var row: Int
        var party: Int
        var bytes: [UInt8]
        var count: Int
        /// Its destination, or where it came from, if known.
        var other: SocketAddress?
        var own: SocketAddress?
        /// The network's doing is known.
        var isDecided = false
    }

    // MARK: In

    mutating func join(_ party: Party) -> Int {
        parties.append(party)
        lanes.append([])
        children.append([])
        return parties.count - 1
    }

    /// What the network decided for the datagram with these bytes. May come before or after the call that sent it.
    mutating func note(_ fate: Fate, for bytes: [UInt8], to side: Side) {
        let passing = Passing(to: side, bytes: bytes)
        fates[passing, default: []].append(fate)
        guard
            let index = sentDatagrams.firstIndex(where: {
                !$0.isDecided && Passing(to: self.side($0.party).opposite, bytes: $0.bytes) == passing
            })
        else { return }
        var datagram = sentDatagrams[index]
        if decide(&datagram) { sentDatagrams.remove(at: index) } else { sentDatagrams[index] = datagram }
    }

    /// - Parameter call: as it was entered, or as it returned.
    mutating func add(_ call: Call, from party: Int, now: UInt64) {
        sockets.heard(call, party)
        let lane = lane(of: call, party)
        guard call.returned != nil else {
            if call.name == "fork" { sockets.forkEntered(call, party) }
            open[lane, default: []].append(call)
            return
        }
        open[lane]?.removeAll { $0.entered == call.entered }
        lastNames[lane] = call.name
        returned(call, party, now)
    }

    private mutating func lane(of call: Call, _ party: Int) -> Lane {
        let lane = Lane(party: party, process: call.process, thread: call.thread)
        if !lanes[party].contains(lane) {
            lanes[party].append(lane)
            if call.process != lanes[party][0].process { born(call.process, party) }
        }
        return lane
    }

    private mutating func born(_ child: Int32, _ party: Int) {
        if !children[party].contains(child) { children[party].append(child) }
    }

    private mutating func returned(_ call: Call, _ party: Int, _ now: UInt64) {
        switch call.name {
        case "socket" where call.result >= 0:
            sockets.open(call.result, call, party, isStream: call.arguments.1 & 0xf == Int64(SOCK_STREAM as Int32))
            put(call, party, now)
        case "bind", "listen":
            if let found = call.found { sockets.change(call, party) { $0.local = found } }
            put(call, party, now)
        case "fork":
            sockets.forkReturned(call, party)
            if call.result > 0 { born(Int32(call.result), party) }
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
            $0.connection = connection
            $0.isClient = true
        }
        sockets.begin(connection, isClient: true)
        let row = put(call, party, now, Arrow(to: side(party).opposite, content: .handshake), stranger: remote)
        rows[row]?.connection = connection
        if let other = accepts.removeValue(forKey: connection) {
            known.insert(connection)
            join(row, other)
        } else {
            connects[connection] = row
        }
    }

    private mutating func accepted(_ call: Call, _ party: Int, _ now: UInt64) {
        guard call.result >= 0 else {
            put(call, party, now)
            return
        }
        sockets.accepted(call, party)
        guard let connection = sockets.entry(onResultOf: call, party)?.connection else {
            put(call, party, now)
            return
        }
        // The client's connect has come back already, or is just about to.
        let arrow = Arrow(to: side(party), content: .handshake)
        let row = put(call, party, now, arrow, stranger: call.found)
        rows[row]?.connection = connection
        if let other = connects.removeValue(forKey: connection) {
            known.insert(connection)
            join(other, row)
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
        let row = put(call, party, now, arrow, stranger: stranger(entry))
        rows[row]?.connection = connection
        // A peer that has closed already hears nothing of it.
        if sockets.isGone(connection, isClient: !entry.isClient) { settle(row, .intoBuffer) }
        if known.contains(connection) || connects[connection] != nil || accepts[connection] != nil {
            let direction = Direction(connection: connection, fromClient: entry.isClient)
            flows[direction, default: Flow()].end = row
            reconcile(direction)
        }
        if call.name == "close", !known.contains(connection) { forget(connection) }
    }

    private mutating func forget(_ connection: SocketTable.Connection) {
        for fromClient in [true, false] { flows[Direction(connection: connection, fromClient: fromClient)] = nil }
        (connects[connection], accepts[connection]) = (nil, nil)
        sockets.forget(connection)
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
        let row = put(call, party, now, arrow, stranger: call.given ?? stranger(entry))
        rows[row]?.connection = entry.connection
        if let connection = entry.connection {
            let direction = Direction(connection: connection, fromClient: entry.isClient)
            flows[direction, default: Flow()].sends.append((row, count, true))
            reconcile(direction)
        } else if !entry.isStream {
            var datagram = Datagram(
                row: row, party: party, bytes: call.data, count: count, other: call.given ?? entry.remote,
                own: entry.local)
            if hasNetworkBetween, decide(&datagram) { return }
            // A broadcast that is drawn is over when the next one begins.
            sentDatagrams = sentDatagrams.filter { rows[$0.row] != nil }
            if let index = receivedDatagrams.firstIndex(where: { fits(sent: datagram, received: $0) }) {
                join(row, receivedDatagrams.remove(at: index).row)
                guard isBroadcast(datagram) else { return }
                for other in receivedDatagrams where fits(sent: datagram, received: other) {
                    settle(other.row, .branch)
                }
                receivedDatagrams = receivedDatagrams.filter { !fits(sent: datagram, received: $0) }
            }
            sentDatagrams.append(datagram)
        }
    }

    private mutating func received(_ call: Call, _ party: Int, _ now: UInt64) {
        guard let entry = sockets.entry(call, party) else {
            put(call, party, now)
            return
        }
        let count = Int(call.result)
        var arrow = Arrow(to: side(party), content: .bytes(Array(call.data.prefix(max(0, count))), count: count))
        if entry.isStream { if count == 0 { arrow.content = .end } else if count < 0 { arrow.content = .reset } }
        let row = put(call, party, now, arrow, stranger: call.found ?? stranger(entry))
        rows[row]?.connection = entry.connection
        if let connection = entry.connection {
            let direction = Direction(connection: connection, fromClient: !entry.isClient)
            if count > 0 {
                flows[direction, default: Flow()].receives.append((row, count))
            } else {
                flows[direction, default: Flow()].seenEnd = row
            }
            reconcile(direction)
        } else if !entry.isStream {
            let datagram = Datagram(
                row: row, party: party, bytes: call.data, count: count, other: call.found, own: entry.local)
            if let index = sentDatagrams.firstIndex(where: { fits(sent: $0, received: datagram) }) {
                let sender = sentDatagrams[index]
                // A broadcast reaches everybody: it stays, for the others.
                if !isBroadcast(sender) { sentDatagrams.remove(at: index) }
                if isBroadcast(sender), rows[sender.row]?.isFree(side(party)) != true {
                    settle(row, .branch)
                } else {
                    join(sender.row, row)
                }
            } else {
                receivedDatagrams.append(datagram)
            }
            let passing = Passing(to: side(party), bytes: call.data)
            guard rows[row] != nil, let left = copies[passing] else { return }
            copies[passing] = left == 1 ? nil : left - 1
            settle(row, .again)
        }
    }

    private func fits(sent: Datagram, received: Datagram) -> Bool {
        guard sent.count == received.count, sent.bytes == received.bytes, sent.party != received.party else {
            return false
        }
        if hasNetworkBetween { return true }
        if let to = sent.other, let at = received.own, to.port != at.port { return false }
        if let from = received.other, let at = sent.own, at.port != 0, from.port != at.port { return false }
        return true
    }

    private func isBroadcast(_ datagram: Datagram) -> Bool {
        datagram.other?.host.hasSuffix(".255") == true
    }

    /// Matches what was sent in one direction with what was received. A receive that took exactly one send stands beside it;
    /// all others stand apart, with the kernel's buffer between them.
    private mutating func reconcile(_ direction: Direction) {
        guard var flow = flows[direction] else { return }
        while let receive = flow.receives.first, let send = flow.sends.first {
            guard flow.sends.reduce(0, { $0 + $1.left }) >= receive.count else { break }
            flow.receives.removeFirst()
            if send.isWhole && send.left == receive.count {
                flow.sends.removeFirst()
                join(send.row, receive.row)
                continue
            }
            settle(receive.row, .fromBuffer)
            var wanted = receive.count
            while wanted > 0 {
                let taken = min(wanted, flow.sends[0].left)
                settle(flow.sends[0].row, .intoBuffer)
                flow.sends[0].left -= taken
                flow.sends[0].isWhole = false
                wanted -= taken
                if flow.sends[0].left == 0 { flow.sends.removeFirst() }
            }
        }
        if let end = flow.end, let seen = flow.seenEnd {
            if rows[seen]?.arrow?.content == .reset { rows[end]?.arrow?.content = .reset }
            join(end, seen)
            flow = Flow()
        }
        flows[direction] = flow
    }

    // MARK: Rows

    private func side(_ party: Int) -> Side { parties[party].side }

    /// Somebody stands on this side whose calls are seen.
    private func isPeopled(_ side: Side) -> Bool { parties.contains { $0.side == side } }

    private func stranger(_ entry: SocketTable.Entry) -> SocketAddress? {
        entry.isClient ? entry.remote : entry.connection?.client ?? entry.remote
    }

    @discardableResult
    private mutating func put(
        _ call: Call, _ party: Int, _ now: UInt64, _ arrow: Arrow? = nil, stranger: SocketAddress? = nil
    ) -> Int {
        // A send is where it began, a receive where it ended: what follows from it comes later.
        let began = call.isSend || ["connect", "shutdown", "close", "fork"].contains(call.name)
        var row = LadderRow(
            time: began ? call.entered : call.returned ?? call.entered, seen: now, arrow: arrow,
            awaitsOther: arrow != nil && isPeopled(side(party).opposite))
        row[side(party)] = .call(call, lane: laneName(call, party), note: note(call, party))
        row.places = [(Lane(party: party, process: call.process, thread: call.thread), row.time)]
        if arrow != nil, let stranger, !stranger.host.isEmpty {
            row[side(party).opposite] = .stranger(stranger.description)
        }
        rows[nextRow] = row
        nextRow += 1
        return nextRow - 1
    }

    /// Both are halves of one thing: the second becomes part of the first, unless one of them is drawn already.
    private mutating func join(_ first: Int, _ second: Int) {
        guard var row = rows[first], let other = rows[second], let to = other.arrow?.to, row.isFree(to) else {
            if rows[first]?.awaitsOther == true { settle(first, .intoBuffer) }
            settle(second, .fromBuffer)
            return
        }
        row[to] = other[to]
        row.places += other.places
        row.awaitsOther = false
        row.arrow?.reach = .across
        rows[first] = row
        rows[second] = nil
    }

    private mutating func settle(_ row: Int, _ reach: Arrow.Reach) {
        rows[row]?.awaitsOther = false
        rows[row]?.arrow?.reach = reach
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
        sentDatagrams = sentDatagrams.filter { rows[$0.row] != nil || isBroadcast($0) }
        receivedDatagrams = receivedDatagrams.filter { rows[$0.row] != nil }
        return ready
    }

    private func finished(_ row: LadderRow) -> LadderRow {
        var row = row
        guard let arrow = row.arrow else { return row }
        let isKnown = row.connection.map { known.contains($0) } ?? false
        if row.awaitsOther {
            // Its other half has not turned up, though somebody is there who could be it.
            if case .call? = row[arrow.to] {
                if !isKnown, !hasNetworkBetween, row[arrow.to.opposite] != nil { return row }
                row.arrow?.reach = hasNetworkBetween ? .late : .fromBuffer
            } else {
                row.arrow?.reach = .intoBuffer
                // Its address is that of a party, which has not accepted yet.
                if arrow.content == .handshake { row[arrow.to] = nil }
            }
        }
        // Whoever is a party is not named by an address.
        if isKnown || hasNetworkBetween || arrow.reach == .branch {
            for side in [Side.left, .right] where row.isFree(side) { row[side] = nil }
        }
        return row
    }

    /// What the network does with a datagram, if that is known.
    ///
    /// - Returns: true if nobody receives it now.
    private mutating func decide(_ datagram: inout Datagram) -> Bool {
        let passing = Passing(to: side(datagram.party).opposite, bytes: datagram.bytes)
        guard let fate = fates[passing]?.first else { return false }
        datagram.isDecided = true
        fates[passing]?.removeFirst()
        if fates[passing]?.isEmpty == true { fates[passing] = nil }
        switch fate {
        case .delivered: return false
        case .repeated:
            copies[passing, default: 0] += 1
            return false
        case .lost: settle(datagram.row, .lost)
        case .delayed(let milliseconds): settle(datagram.row, .delayed(milliseconds))
        case .overtaken: settle(datagram.row, .overtaken)
        }
        return true
    }

    // MARK: Waiting

    /// Nothing is on its way, and every thread of the parties on this side waits in a call, or has come to its end.
    func isQuiet(_ side: Side) -> Bool {
        guard !rows.values.contains(where: \.awaitsOther) else { return false }
        return parties.indices.filter { parties[$0].side == side }.allSatisfy { party in
            !lanes[party].isEmpty
                && lanes[party].allSatisfy { open[$0]?.isEmpty == false || lastNames[$0] == "close" }
        }
    }

    /// A row for each call that waits and has not been shown waiting.
    mutating func takeWaiting(_ side: Side, now: UInt64) -> [LadderRow] {
        var waiting: [LadderRow] = []
        for party in parties.indices where parties[party].side == side {
            for lane in lanes[party] {
                guard let call = open[lane]?.last, shownWaiting[lane] != call.entered else { continue }
                shownWaiting[lane] = call.entered
                var row = LadderRow(time: call.entered, seen: now, awaitsOther: false)
                row[side] = .call(call, lane: laneName(call, party), note: "")
                waiting.append(row)
            }
        }
        return waiting.sorted { $0.time < $1.time }
    }

    /// `T1` for the first thread besides the main one, `C1` for the first child process.
    private func laneName(_ call: Call, _ party: Int) -> String {
        let tag = parties[party].tag
        guard let main = lanes[party].first else { return tag }
        if call.process != main.process { return tag + childName(call.process, party) }
        let threads = lanes[party].filter { $0.process == main.process }.map(\.thread)
        guard let index = threads.firstIndex(of: call.thread), index > 0 else { return tag }
        return tag + "T\(index)"
    }

    /// Which child a process number is.
    private func note(_ call: Call, _ party: Int) -> String {
        guard ["fork", "waitpid", "wait"].contains(call.name), call.result > 0 else { return "" }
        return " " + childName(Int32(call.result), party)
    }

    private func childName(_ process: Int32, _ party: Int) -> String {
        "C\((children[party].firstIndex(of: process) ?? 0) + 1)"
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
