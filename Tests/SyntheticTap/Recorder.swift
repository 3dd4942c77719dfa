/// A tap that records what a test says, in place of a program: for tests of timelines, of their text, and of the rules
/// that read them.
import CTapRecord
import Sockets
import Wire

public struct Recorder {
    public var timeline = Timeline(start: 0)
    /// Of the last record: nanoseconds.
    public var time: UInt64 = 0
    /// From one record to the next: a millisecond.
    public var step: UInt64 = 1_000_000
    /// As the tap of the program counts lost records.
    public var dropped: UInt32 = 0
    private var numbers: [Int32: UInt64] = [:]

    public init() {}

    /// A call that was entered.
    public struct Entered {
        fileprivate var record: tap_record
    }

    public static let callNames = (0..<Int32(TAP_CALL_COUNT.rawValue)).map { String(cString: tap_call_name($0)) }

    /// - Parameter arguments: as `tap_record.argument`: CTap's calls_*.c say what they are, at each call.
    /// - Parameter told: does the record arrive, or is it lost?
    @discardableResult
    public mutating func enter(
        _ name: String, _ descriptor: Int32 = -1, with arguments: [Int64] = [], length: Int = 0, data: [UInt8] = [],
        to address: SocketAddress? = nil, perturbed: Bool = false, process: Int32 = 100,
        thread: Int32? = nil, told: Bool = true
    ) -> Entered {
        var record = tap_record()
        guard let call = Recorder.callNames.firstIndex(of: name) else { preconditionFailure("no call \(name)") }
        record.call = UInt16(call)
        record.phase = UInt8(TAP_ENTERED)
        record.process = process
        record.thread = thread ?? process
        numbers[record.thread, default: 0] += 1
        record.number = numbers[record.thread] ?? 0
        record.descriptor = descriptor
        record.length = UInt64(length)
        record.argument = (arguments.first ?? 0, arguments.dropFirst().first ?? 0)
        record.perturbed = perturbed ? 1 : 0
        put(data, address, &record)
        tell(&record, told)
        return Entered(record: record)
    }

    public mutating func leave(
        _ call: Entered, _ result: Int64, error: Int32 = 0, data: [UInt8] = [], found address: SocketAddress? = nil,
        told: Bool = true
    ) {
        var record = call.record
        record.phase = UInt8(TAP_RETURNED)
        record.result = result
        record.error = error
        put(data, address, &record)
        tell(&record, told)
    }

    /// A call that was entered and came back.
    public mutating func call(
        _ name: String, _ descriptor: Int32 = -1, with arguments: [Int64] = [], length: Int = 0, data: [UInt8] = [],
        to given: SocketAddress? = nil, result: Int64, error: Int32 = 0, got: [UInt8] = [],
        found: SocketAddress? = nil, perturbed: Bool = false, process: Int32 = 100, thread: Int32? = nil
    ) {
        let call = enter(
            name, descriptor, with: arguments, length: length, data: data, to: given, perturbed: perturbed,
            process: process, thread: thread)
        leave(call, result, error: error, data: got, found: found)
    }

    private func put(_ data: [UInt8], _ address: SocketAddress?, _ record: inout tap_record) {
        withUnsafeMutableBytes(of: &record.data) { $0.copyBytes(from: data.prefix($0.count)) }
        record.data_length = UInt8(min(data.count, Int(TAP_DATA)))
        let bytes = address?.bytes ?? []
        withUnsafeMutableBytes(of: &record.address) { $0.copyBytes(from: bytes.prefix($0.count)) }
        record.address_length = UInt8(min(bytes.count, Int(TAP_ADDRESS)))
    }

    private mutating func tell(_ record: inout tap_record, _ told: Bool) {
        time += step
        record.time = time
        record.dropped = dropped
        if told { timeline.add(record) } else { dropped += 1 }
    }
}

extension SocketAddress {
    /// `127.0.0.1:8000`, for tests.
    public static func local(_ port: UInt16) -> SocketAddress { try! SocketAddress(host: "127.0.0.1", port: port) }
}
