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
    /// Calls that were left out because there were too many, and records that the pipe had no room for.
    public private(set) var omitted = 0
    public private(set) var dropped = 0

    /// Where the call with this thread and number stands in `calls`.
    private var open: [OpenCall: Int] = [:]
    private struct OpenCall: Hashable {
        var thread: Int32
        var number: UInt64
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
        dropped = Int(record.dropped)
        let key = OpenCall(thread: record.thread, number: record.number)
        if record.phase == UInt8(TAP_ENTERED) {
            let call = Call(entered: record)
            counts[call.name, default: 0] += 1
            open[key] = calls.count
            calls.append(call)
            if calls.count > Timeline.mostCalls { thin() }
            return call
        } else if let index = open.removeValue(forKey: key) {
            calls[index].finish(record)
            return calls[index]
        }
        return nil
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
        open = open.compactMapValues { moved[$0] }
    }

    public func count(_ names: String...) -> Int { names.reduce(0) { $0 + (counts[$1] ?? 0) } }
    public func calls(_ names: String...) -> [Call] { calls.filter { names.contains($0.name) } }
    /// Calls that have not returned, each the last of its thread.
    public var blocked: [Call] { calls.filter(\.isBlocked) }
    public func milliseconds(_ time: UInt64) -> Double { (Double(time) - Double(start)) / 1_000_000 }

    /// The address of the first socket that can be reached from outside: bound (UDP) or listening (TCP).
    public var served: SocketAddress? {
        var streams: Set<Int32> = []
        for call in calls {
            if call.name == "socket" && call.result >= 0 {
                // SOCK_NONBLOCK and SOCK_CLOEXEC ride on the type.
                if call.arguments.1 & 0xf == Int64(SOCK_STREAM as Int32) {
                    streams.insert(Int32(call.result))
                } else {
                    streams.remove(Int32(call.result))
                }
            }
            if call.returned == nil || call.result != 0 { continue }
            if call.name == "listen" { return call.found }
            if call.name == "bind" && !streams.contains(call.descriptor) { return call.found }
        }
        return nil
    }
}
