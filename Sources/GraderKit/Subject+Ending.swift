// What is known of a lesson process when it has ended, and what it printed.
import CTapRecord
import Course
import Foundation
import Sockets
import Wire

extension Subject {
    /// How the process ended.
    public struct Ending: Sendable {
        /// The exit code, or nil if a signal ended it.
        public var code: Int32?
        public var signal: Int32?
        /// The limit for which it was ended.
        public var limit: Limit?
        /// It was ended because it wrote to the lab's own line.
        public var wroteToLab = false
        /// Nanoseconds of CPU.
        public var cpu: UInt64 = 0
    }

    /// What a program may take at most: itself and its children, together.
    public enum Limit: Sendable {
        case memory
        case threads
    }

    /// The beginning and the end of what it printed.
    public struct Output: Sendable {
        public var first: [UInt8] = []
        public var last: [UInt8] = []
        public var count = 0
        static let kept = 16_384
        /// A program that prints this much is stopped.
        static let most = 16 << 20

        mutating func add(_ bytes: ArraySlice<UInt8>) {
            count += bytes.count
            let room = min(Output.kept - first.count, bytes.count)
            first += bytes.prefix(room)
            last = Array((last + bytes.dropFirst(room)).suffix(Output.kept))
        }

        public var text: String {
            let gap = count - first.count - last.count
            let middle = gap > 0 ? say("\n… \(gap) bytes more …\n", "\n……此处省略 \(gap) 字节……\n") : ""
            return String(decoding: first, as: UTF8.self) + middle + String(decoding: last, as: UTF8.self)
        }
    }
}

extension Subject.Ending {
    init(_ told: tap_ending) {
        let exited = processExited(told.status) != 0
        code = exited ? processExitCode(told.status) : nil
        signal = exited ? nil : processSignal(told.status)
        cpu = told.cpu
        switch tap_limit(rawValue: UInt32(told.limit)) {
        case TAP_MEMORY_LIMIT: limit = .memory
        case TAP_THREAD_LIMIT: limit = .threads
        default: limit = nil
        }
    }
}
