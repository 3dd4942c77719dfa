// What one line of a drawing holds, before it is text.
import Course
import Sockets
import Wire

/// Clients stand at the left, servers at the right.
public enum Side: Sendable {
    case left
    case right

    var opposite: Side { self == .left ? .right : .left }
}

/// A program that has a part in a demo.
struct Party: Sendable {
    var side: Side
    /// Before its calls, where several share a side: `1`.
    var tag: String
}

struct LadderRow {
    /// Where it belongs (ns, CLOCK_MONOTONIC).
    var time: UInt64
    /// Where it belongs among the calls of each thread that has a part in it: a thread's calls stay in order.
    var places: [(lane: Lane, time: UInt64)] = []
    /// When it was learnt of.
    var seen: UInt64
    var left: Cell?
    var right: Cell?
    var arrow: Arrow?
    /// Whether the other side of what was sent, or received, may still turn up.
    var awaitsOther: Bool
    var connection: SocketTable.Connection?

    enum Cell {
        /// With the thread or process that made it, and what stands behind it.
        case call(Call, lane: String, note: String)
        /// Somebody whose calls are not seen: an address.
        case stranger(String)
    }

    subscript(side: Side) -> Cell? {
        get { side == .left ? left : right }
        set { if side == .left { left = newValue } else { right = newValue } }
    }

    /// A call of the same thread makes this row come after the other.
    func follows(_ other: LadderRow) -> Bool {
        places.contains { place in other.places.contains { $0.lane == place.lane && $0.time < place.time } }
    }

    /// Nobody's call stands there.
    func isFree(_ side: Side) -> Bool {
        if case .call? = self[side] { false } else { true }
    }
}

/// What went from one side to the other.
struct Arrow {
    enum Content: Equatable {
        /// The first of the bytes, and how many there were.
        case bytes([UInt8], count: Int)
        /// The three segments of a connect.
        case handshake
        case end
        case reset
        /// One of those that follow the first.
        case segment(String)
        /// Nobody is there: RST answers a SYN, ICMP a datagram.
        case refused(String)
    }

    /// How far one sees it go.
    enum Reach: Equatable {
        case across
        /// Sent; it lies in the kernel, and somebody may receive it later.
        case intoBuffer
        /// Received, from what lay in the kernel.
        case fromBuffer
        case lost
        /// The network holds it back so long (ms).
        case delayed(Int)
        /// The network holds it back until the next one has passed.
        case overtaken
        /// It comes a second time.
        case again
        /// It was held back.
        case late
        /// One more of those whom a broadcast reaches.
        case branch
    }

    var to: Side
    var content: Content
    var reach = Reach.across
}
