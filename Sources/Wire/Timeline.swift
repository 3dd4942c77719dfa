/// What a lesson process did, call by call, in the order in which the calls were entered.
import CTapRecord
import Course
import Sockets

public struct Timeline: Sendable {
    /// Nanoseconds, CLOCK_MONOTONIC: times are shown from here.
    public var start: UInt64
    public private(set) var calls: [Call] = []
    /// How many calls of each name there were, also those that are no longer kept.
    public private(set) var counts: [String: Int] = [:]
    /// How many calls of each name came back with nothing: they failed, or there was nothing to receive or to do, or they
    /// said for the second time that something was ready which nobody touched. Not those that the lab made fail.
    public private(set) var fruitless: [String: Int] = [:]
    /// When the last call was entered or returned (ns); 0 if there was none.
    public private(set) var lastEvent: UInt64 = 0
    /// Calls that were left out because there were too many, and records that the pipe had no room for.
    public private(set) var omitted = 0
    public private(set) var dropped = 0

    /// Calls whose return has not been told: where each stands in `calls`.
    private var open: [Int32: [OpenCall]] = [:]  // by thread; more than one where a signal handler interrupts a call
    private struct OpenCall {
        var number: UInt64
        var index: Int
        /// As many records had been lost when it was entered.
        var dropped: UInt32
    }

    public init(start: UInt64) { self.start = start }

    /// The first calls show how it began and the last how it ended; a program that spins makes millions between.
    private static let mostCalls = 30_000
    private static let keptFirst = 15_000

    public static let recordSize = MemoryLayout<tap_record>.size

    /// - Parameter record: the bytes of one `tap_record`.
    @discardableResult
    public mutating func add(_ record: UnsafeRawBufferPointer) -> Call? {
        add(record.loadUnaligned(as: tap_record.self))
    }

    /// - Returns: the call that it tells of, entered or returned; nil if its beginning was lost.
    @discardableResult
    public mutating func add(_ record: tap_record) -> Call? {
        noteDropped(Int(record.dropped))
        lastEvent = max(lastEvent, record.time)
        if record.phase == UInt8(TAP_ENTERED) {
            noteLostReturns(before: record)
            let call = Call(entered: record)
            counts[call.name, default: 0] += 1
            open[record.thread, default: []].append(
                OpenCall(number: record.number, index: calls.count, dropped: record.dropped))
            calls.append(call)
            if calls.count > Timeline.mostCalls { thin() }
            return call
        }
        guard let position = open[record.thread]?.lastIndex(where: { $0.number == record.number }),
            let index = open[record.thread]?.remove(at: position).index
        else { return nil }
        calls[index].finish(record)
        noteReachable(calls[index])
        noteFruitless(calls[index])
        return calls[index]
    }

    /// So many records were lost, as is known from elsewhere.
    public mutating func noteDropped(_ count: Int) { dropped = max(dropped, count) }

    /// The last call of each thread was a wait for readiness.
    private var justWaited: Set<Int32> = []

    private mutating func noteFruitless(_ call: Call) {
        let again = call.isWait && justWaited.contains(call.thread)
        if call.isWait { justWaited.insert(call.thread) } else { justWaited.remove(call.thread) }
        let nothing = call.failed || again || call.result == 0 && (call.isWait || call.isReceive || call.isSend)
        if nothing && !call.perturbed { fruitless[call.name, default: 0] += 1 }
    }

    /// A thread that enters a call has come back from those before it. Where none of that was told although records were
    /// lost, it is one of them, and not a call that still blocks.
    private mutating func noteLostReturns(before record: tap_record) {
        guard let earlier = open[record.thread], earlier.contains(where: { $0.dropped != record.dropped }) else {
            return
        }
        for call in earlier where call.dropped != record.dropped { calls[call.index].returnIsLost = true }
        open[record.thread] = earlier.filter { $0.dropped == record.dropped }
    }

    /// Drops the older half of the later calls, but none that is still blocked.
    private mutating func thin() {
        let end = (Timeline.keptFirst + Timeline.mostCalls) / 2
        var moved: [Int: Int] = [:]
        var kept: [Call] = []
        kept.reserveCapacity(calls.count)
        for (index, call) in calls.enumerated() {
            if index >= Timeline.keptFirst && index < end && !call.isBlocked {
                omitted += 1
            } else {
                moved[index] = kept.count
                kept.append(call)
            }
        }
        calls = kept
        open = open.mapValues { calls in
            calls.compactMap { call in
                moved[call.index].map { OpenCall(number: call.number, index: $0, dropped: call.dropped) }
            }
        }
    }

    /// Without most of those calls that brought nothing again and again: of equal ones the first and the last thousand
    /// are there. Who looks for a reason compares calls with calls, and a program that spins makes tens of thousands.
    public var withoutRepeats: Timeline {
        struct Kind: Hashable {
            var name: String
            var thread, descriptor, error: Int32
            var result: Int64
        }
        func kind(_ call: Call) -> Kind? {
            guard call.returned != nil, call.result <= 0 || call.isWait else { return nil }
            return Kind(
                name: call.name, thread: call.thread, descriptor: call.descriptor, error: call.error,
                result: call.result)
        }
        var left: [Kind: Int] = [:]
        for call in calls { if let kind = kind(call) { left[kind, default: 0] += 1 } }
        guard left.values.contains(where: { $0 > 2000 }) else { return self }
        var seen: [Kind: Int] = [:]
        var short = self
        short.calls = calls.filter { call in
            guard let kind = kind(call) else { return true }
            seen[kind, default: 0] += 1
            left[kind, default: 0] -= 1
            return seen[kind, default: 0] <= 1000 || left[kind, default: 0] < 1000
        }
        return short
    }

    /// What had been called until then (ns). A call that was under way for a while had not returned; what was just being
    /// done is told with its result.
    public func before(_ time: UInt64) -> Timeline {
        var short = self
        short.calls = calls.filter { $0.entered <= time }.map { call in
            guard let returned = call.returned, returned > time, time - call.entered > 100_000_000 else { return call }
            var waiting = call
            waiting.returned = nil
            return waiting
        }
        return short
    }

    public func count(_ names: String...) -> Int { names.reduce(0) { $0 + (counts[$1] ?? 0) } }
    public func calls(_ names: String...) -> [Call] { calls.filter { names.contains($0.name) } }
    /// Calls that have not returned.
    public var blocked: [Call] { calls.filter(\.isBlocked) }
    public func milliseconds(_ time: UInt64) -> Double { (Double(time) - Double(start)) / 1_000_000 }

    // MARK: Where it can be reached

    /// Sockets that others could send to, in the order in which they became so.
    private var reachable: [Reachable] = []
    private struct Reachable {
        var process: Int32
        var descriptor: Int32
        var type: Int32
        var address: SocketAddress
        var isOpen = true
    }

    /// A stream socket is reachable once it listens, any other once it is bound. The tap tells the type of the socket,
    /// and the address that it got in the end.
    private mutating func noteReachable(_ call: Call) {
        guard call.result == 0 else { return }
        switch call.name {
        case "bind":
            let type = Int32(truncatingIfNeeded: call.arguments.0)
            if type == SOCK_STREAM || type == SOCK_SEQPACKET { return }
            noteReachable(call, type)
        case "listen": noteReachable(call, Int32(truncatingIfNeeded: call.arguments.1))
        case "close":
            // A forked child that closes its copy leaves the socket to its parent.
            for index in reachable.indices
            where reachable[index].process == call.process && reachable[index].descriptor == call.descriptor {
                reachable[index].isOpen = false
            }
        default: return
        }
    }

    private mutating func noteReachable(_ call: Call, _ type: Int32) {
        guard let address = call.found else { return }
        reachable.append(
            Reachable(process: call.process, descriptor: call.descriptor, type: type, address: address))
    }

    /// The address of the first socket that can be reached from outside: bound (UDP) or listening (TCP). One that is
    /// still open comes before one that was given up.
    public var served: SocketAddress? { served { _ in true } }

    /// The same among sockets of one type: a program may bind a helper's socket before the one that serves.
    public func served(_ type: Int32) -> SocketAddress? { served { $0.type == type } }

    private func served(_ isMeant: (Reachable) -> Bool) -> SocketAddress? {
        let meant = reachable.filter(isMeant)
        return (meant.first(where: \.isOpen) ?? meant.first)?.address
    }
}
