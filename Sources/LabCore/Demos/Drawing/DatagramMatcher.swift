/// Which datagram that was sent is which that was received: the same bytes, between the same ports. And what a bad network
/// in between did with it, where there is one.
import Sockets

struct DatagramMatcher {
    /// As far as a drawing shows it (`DatagramNetwork.Fate`).
    enum Fate: Equatable {
        case delivered
        case lost
        case repeated
        case delayed(Int)
        case overtaken
    }

    struct Datagram {
        var row: Int
        var party: Int
        /// The side that it is sent to.
        var to: Side
        /// The first of them.
        var bytes: [UInt8]
        var count: Int
        /// The socket's own address, and the destination or the sender, where they are known.
        var own: SocketAddress?
        var other: SocketAddress?
        /// What the network does with it is known.
        var isDecided = false

        var isBroadcast: Bool { other?.host.hasSuffix(".255") == true }
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

    /// Datagrams go through somebody in between: their addresses do not tell who gets them.
    var hasNetworkBetween = false

    private var sent: [Datagram] = []
    private var received: [Datagram] = []
    /// What the network decided for datagrams whose sending has not been heard of yet, and copies on their way.
    private var fates: [Passing: [Fate]] = [:]
    private var copies: [Passing: Int] = [:]

    mutating func sent(_ datagram: Datagram) -> [Match] {
        var datagram = datagram
        if hasNetworkBetween, let match = decide(&datagram) { return [match] }
        guard let index = received.firstIndex(where: { fits(sent: datagram, received: $0) }) else {
            sent.append(datagram)
            return []
        }
        var matches = [Match.pair(datagram.row, received.remove(at: index).row)]
        if datagram.isBroadcast {
            matches += received.filter { fits(sent: datagram, received: $0) }.map { .apart($0.row, .branch) }
            received = received.filter { !fits(sent: datagram, received: $0) }
            sent.append(datagram)
        }
        return matches
    }

    /// - Parameter isFree: nothing stands beside the row yet.
    mutating func received(_ datagram: Datagram, isFree: (_ row: Int) -> Bool) -> [Match] {
        if let index = sent.firstIndex(where: { fits(sent: $0, received: datagram) }) {
            let sender = sent[index]
            // A broadcast reaches everybody: it stays, for the others.
            if sender.isBroadcast, !isFree(sender.row) { return [.apart(datagram.row, .branch)] }
            if !sender.isBroadcast { sent.remove(at: index) }
            return [.pair(sender.row, datagram.row)]
        }
        let passing = Passing(to: datagram.to, bytes: datagram.bytes)
        if let left = copies[passing] {
            copies[passing] = left == 1 ? nil : left - 1
            return [.apart(datagram.row, .again)]
        }
        received.append(datagram)
        return []
    }

    /// What the network decided for the datagram with these bytes. May come before or after the call that sent it.
    mutating func note(_ fate: Fate, for bytes: [UInt8], to side: Side) -> [Match] {
        let passing = Passing(to: side, bytes: bytes)
        fates[passing, default: []].append(fate)
        guard
            let index = sent.firstIndex(where: {
                !$0.isDecided && Passing(to: $0.to, bytes: $0.bytes) == passing
            })
        else { return [] }
        var datagram = sent[index]
        let match = decide(&datagram)
        if match != nil { sent.remove(at: index) } else { sent[index] = datagram }
        return match.map { [$0] } ?? []
    }

    /// - Returns: how its row stands, if nobody receives it now.
    private mutating func decide(_ datagram: inout Datagram) -> Match? {
        let passing = Passing(to: datagram.to, bytes: datagram.bytes)
        guard var left = fates[passing], !left.isEmpty else { return nil }
        let fate = left.removeFirst()
        fates[passing] = left.isEmpty ? nil : left
        datagram.isDecided = true
        switch fate {
        case .delivered: return nil
        case .repeated:
            copies[passing, default: 0] += 1
            return nil
        case .lost: return .apart(datagram.row, .lost)
        case .delayed(let milliseconds): return .apart(datagram.row, .delayed(milliseconds))
        case .overtaken: return .apart(datagram.row, .overtaken)
        }
    }

    /// Forgets what is drawn. A broadcast lasts as long as the rows around it: others may still hear it.
    mutating func forget(isDrawn: (_ row: Int) -> Bool, isOver: Bool) {
        sent = sent.filter { !isDrawn($0.row) || ($0.isBroadcast && !isOver) }
        received = received.filter { !isDrawn($0.row) }
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
}
