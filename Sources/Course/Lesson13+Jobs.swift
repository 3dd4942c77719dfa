// What the grader of lesson 13 has done by things that live longer than a call: buffered sockets and pools.
import Foundation
import Sockets

/// Numbered, so that a later call can name them.
final class Made<Object>: @unchecked Sendable {
    private let lock = NSLock()
    private var objects: [Object] = []

    func keep(_ object: Object) -> Int {
        lock.withLock {
            objects.append(object)
            return objects.count - 1
        }
    }

    subscript(number: Int) -> Object {
        get throws {
            try lock.withLock {
                guard objects.indices.contains(number) else { throw ArgumentError(description: "none made: \(number)") }
                return objects[number]
            }
        }
    }
}

let madeStreams = Made<any BufferedStream>()
let madePools = Made<any ConnectionLender>()

extension Value {
    /// `["threw", type, what it says, errno of a SocketError or 0]`
    static func threw(_ error: any Error) -> Value {
        .list([
            .string("threw"), .string(typeName(of: error)), .string("\(error)"),
            .int(Int((error as? SocketError)?.code ?? 0)),
        ])
    }
}

extension BufferedStream {
    /// `["line"]`, `["exactly", count]`, `["write", bytes]`, `["write-each", bytes, count]` (`count` bytes at a time),
    /// `["flush"]`. The answer is bytes, nothing (the end of the stream; done), or `threw`.
    func perform(_ operation: Value) throws -> Value {
        guard case .list(let words) = operation else { throw ArgumentError(description: "an operation is a list") }
        do {
            switch try words.string(0) {
            case "line": return try readLine().map(Value.bytes) ?? .none
            case "exactly": return .bytes(try readExactly(try words.int(1)))
            case "write": try write(try words.bytes(1))
            case "write-each":
                let bytes = try words.bytes(1)
                for piece in cut(bytes, try words.int(2)) { try write(piece) }
            case "flush": try flush()
            case let other: throw ArgumentError(description: "no operation \(other)")
            }
            return .none
        } catch let error as ArgumentError { throw error } catch { return .threw(error) }
    }
}

/// One use of a pool, on a thread of its own.
struct PoolJob: Sendable {
    enum Kind: String {
        /// Sends the request and receives the answer.
        case ask
        /// The same, and then something goes wrong: throws `JobError.failed`.
        case fail
        /// The same without the pool: connects, asks, closes. For demos, which compare.
        case alone
        /// Keeps its connection until all jobs that do not hold have ended.
        case hold
        /// Closes the pool.
        case close
    }

    var kind: Kind
    var timeout: Milliseconds
    var request: [UInt8]
    var answerLength: Int
    /// How often, with another turn at the pool each time.
    var times: Int
    /// Where the server is, for `alone`.
    var server: SocketAddress?

    /// - Parameter value: `[kind, timeout, request, how many bytes the answer has, how often]`, and for `alone` the
    ///   server's address as the bytes of its sockaddr.
    init(_ value: Value) throws {
        guard case .list(let words) = value, let kind = Kind(rawValue: try words.string(0)) else {
            throw ArgumentError(description: "no job: \(value)")
        }
        self.kind = kind
        timeout = try words.int(1)
        request = try words.bytes(2)
        answerLength = try words.int(3)
        times = try words.int(4)
        if kind == .alone { server = SocketAddress(bytes: try words.bytes(5)) }
    }

    /// All at the same time, but those that hold have begun before the others do.
    ///
    /// - Returns: for each `[answer, milliseconds]`: bytes, nothing, or `threw`.
    static func perform(_ jobs: [PoolJob], with pool: any ConnectionLender) -> Value {
        let round = PoolRound(jobs, pool)
        for index in jobs.indices where jobs[index].kind == .hold { round.start(index) }
        round.waitUntilHeld()
        for index in jobs.indices where jobs[index].kind != .hold { round.start(index) }
        return round.outcomes()
    }
}

enum JobError: Error { case failed }

private final class PoolRound: @unchecked Sendable {
    private let jobs: [PoolJob]
    private let pool: any ConnectionLender
    private let changed = NSCondition()
    private var results: [Value?]
    private var holding = 0

    init(_ jobs: [PoolJob], _ pool: any ConnectionLender) {
        (self.jobs, self.pool) = (jobs, pool)
        results = Array(repeating: nil, count: jobs.count)
    }

    func start(_ index: Int) {
        let thread = Thread { [self] in
            let began = DispatchTime.now().uptimeNanoseconds
            var answer = Value.none
            do { answer = try perform(jobs[index]) } catch { answer = .threw(error) }
            let took = (DispatchTime.now().uptimeNanoseconds - began) / 1_000_000
            changed.withLock {
                results[index] = .list([answer, .int(Int(took))])
                changed.broadcast()
            }
        }
        thread.stackSize = 1 << 19
        thread.start()
    }

    /// Every job that holds has a connection, or has ended without one.
    func waitUntilHeld() {
        let asked = jobs.filter { $0.kind == .hold }.count
        changed.withLock { while holding + ended(.hold) < asked { changed.wait() } }
    }

    func outcomes() -> Value {
        changed.withLock {
            while results.contains(where: { $0 == nil }) { changed.wait() }
            return .list(results.map { $0 ?? .none })
        }
    }

    private func ended(_ kind: PoolJob.Kind) -> Int {
        jobs.indices.filter { jobs[$0].kind == kind && results[$0] != nil }.count
    }

    private func perform(_ job: PoolJob) throws -> Value {
        switch job.kind {
        case .ask:
            var answers: [UInt8] = []
            for _ in 0..<job.times {
                answers += try pool.withConnection(timeout: job.timeout) { try ask(job, on: $0) }
            }
            return .bytes(answers)
        case .alone:
            guard let server = job.server else { throw ArgumentError(description: "no server") }
            for _ in 0..<job.times {
                let connection = try check("socket", socket(server.family, SOCK_STREAM, 0))
                defer { close(connection) }
                try check("connect", server.withSockaddr { connect(connection, $0, $1) })
                _ = try ask(job, on: connection)
            }
            return .none
        case .fail:
            return try pool.withConnection(timeout: job.timeout) {
                _ = try ask(job, on: $0)
                throw JobError.failed
            }
        case .hold: return try pool.withConnection(timeout: job.timeout) { _ in holdUntilOthersEnded() }
        case .close:
            pool.closeAll()
            return .none
        }
    }

    private func holdUntilOthersEnded() -> Value {
        changed.withLock {
            holding += 1
            changed.broadcast()
            while jobs.indices.contains(where: { jobs[$0].kind != .hold && results[$0] == nil }) { changed.wait() }
            return .none
        }
    }

    private func ask(_ job: PoolJob, on connection: Int32) throws -> [UInt8] {
        var sent = 0
        while sent < job.request.count {
            let count = job.request[sent...].withUnsafeBytes {
                send(connection, $0.baseAddress, $0.count, MSG_NOSIGNAL)
            }
            if count < 0 && errno == EINTR { continue }
            sent += try check("send", count)
        }
        var answer = [UInt8](repeating: 0, count: job.answerLength)
        var received = 0
        while received < answer.count {
            let count = answer[received...].withUnsafeMutableBytes { recv(connection, $0.baseAddress, $0.count, 0) }
            if count < 0 && errno == EINTR { continue }
            if try check("recv", count) == 0 { throw StreamError.ended(received: received) }
            received += count
        }
        return answer
    }
}
