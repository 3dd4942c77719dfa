/// The wire between two programs: what one sends, the other receives, through the hands of the lab, which counts it, may
/// slow it down, and may cut it.
import Course
import Foundation
import GraderKit
import Sockets

final class FileWire {
    /// Where both programs connect to.
    let address: SocketAddress
    /// Bytes of the last transfer.
    private(set) var carried = 0
    /// The first of them.
    private(set) var head: [UInt8] = []

    private let listener: Int32
    /// Bytes a second; nil: as fast as it goes.
    private let speed: Int?
    private var ends: [Int32] = []

    struct Progress {
        var carried: Int
        /// Nothing was waiting to be carried.
        var isIdle: Bool
        /// Enough has changed to be shown.
        var isNews: Bool
    }

    init(host: String, port: UInt16, speed: Int?) throws {
        self.speed = speed
        let wanted = try SocketAddress(host: host, port: port)
        let listener = try closeOnExecSocket(wanted.family, SOCK_STREAM)
        do {
            var on: Int32 = 1
            try check(
                "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
            try check("bind", wanted.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, 16))
            address = try SocketAddress.local(of: listener)
        } catch {
            Sockets.close(listener)
            throw error
        }
        self.listener = listener
    }

    func close() {
        Sockets.close(listener)
        closeEnds()
    }

    private func closeEnds() {
        for end in ends { Sockets.close(end) }
        ends = []
    }

    /// The next program that connects.
    ///
    /// - Parameter deadline: nil: none.
    /// - Parameter check: called again and again meanwhile; throws if nobody will come.
    /// - Throws: `ETIMEDOUT` if nobody comes.
    func accept(until deadline: Deadline? = Deadline(), check isComing: () throws -> Void = {}) throws -> Int32 {
        while true {
            var interest = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            let ready = poll(&interest, 1, deadline == nil ? -1 : 100)
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
            if ready <= 0 {
                try isComing()
                if let deadline, deadline.hasPassed { throw SocketError("accept", ETIMEDOUT) }
                continue
            }
            let connection = acceptCloseOnExec(listener)
            if connection >= 0 { return connection }
            if errno != EINTR && errno != ECONNABORTED { throw SocketError("accept", errno) }
        }
    }

    /// Carries bytes from one to the other until `isOver` says so, the sender ends its side, or `limit` bytes have passed;
    /// then closes both.
    ///
    /// - Parameter isOver: asked again and again, with how far it has come.
    func carry(from: Int32, to: Int32, atMost limit: Int?, isOver: (Progress) throws -> Bool) throws {
        ends = [from, to]
        defer { closeEnds() }
        (carried, head) = (0, [])
        let start = now()
        var told: UInt64 = 0
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let isIdle = try !isReady(from, POLLIN)
            let isNews = now() - told > 50_000_000
            if isNews { told = now() }
            if try isOver(Progress(carried: carried, isIdle: isIdle, isNews: isNews)) { return }
            guard !isIdle else { continue }
            let room = min(buffer.count, (limit ?? .max) - carried)
            let count = read(from, &buffer, room)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            guard try hand(Array(buffer[..<count]), to: to, isOver: isOver) else { return }
            if head.count < 512 { head += buffer[..<min(count, 512)] }
            carried += count
            if carried == limit { return }
            if let speed { keep(to: speed, since: start) }
        }
    }

    /// - Returns: false if it is over before all is handed on.
    private func hand(_ bytes: [UInt8], to: Int32, isOver: (Progress) throws -> Bool) throws -> Bool {
        var sent = 0
        while sent < bytes.count {
            guard try isReady(to, POLLOUT) else {
                if try isOver(Progress(carried: carried, isIdle: false, isNews: false)) { return false }
                continue
            }
            let count = bytes[sent...].withUnsafeBytes {
                send(to, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT)
            }
            if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Waits a moment for it.
    private func isReady(_ descriptor: Int32, _ events: Int32) throws -> Bool {
        var interest = pollfd(fd: descriptor, events: Int16(events), revents: 0)
        let ready = poll(&interest, 1, 20)
        if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
        return ready > 0
    }

    /// A wire of that speed would have taken so long: waits for what is left of it.
    private func keep(to speed: Int, since start: UInt64) {
        let due = UInt64(carried) * 1_000_000_000 / UInt64(speed)
        let passed = now() - start
        if due > passed { poll(nil, 0, Int32((due - passed) / 1_000_000)) }
    }
}
