import Dispatch
import Foundation
import Sockets

/// Lesson 12: Concurrency. The same service five ways: upper case for each byte, as in lesson 04; and a hub through which
/// connections talk to each other.
public struct Lesson12: LessonContract {
    public static let slug = "12-concurrency"

    /// One client after another.
    public var iterativeServer: (_ host: String, _ port: UInt16) throws -> Void
    /// A child process for each client; no zombies, no descriptor left open on either side.
    public var forkServer: (_ host: String, _ port: UInt16) throws -> Void
    /// A thread for each client.
    public var threadServer: (_ host: String, _ port: UInt16) throws -> Void
    /// A fixed number of threads and a queue with a bound; who finds no place is not accepted yet. Once `stop` is readable:
    /// accepts no more, answers what it has received, closes everything but `stop`, and returns, `grace` later at the most.
    public var poolServer: (_ host: String, _ port: UInt16, PoolLimits, _ stop: Int32) throws -> Void
    /// Tasks in place of threads, and none of them waits in a call. Cancelling the task that runs it is the stop: the same
    /// as with the pool, and then it returns or throws `CancellationError`.
    public var asyncServer: @Sendable (_ host: String, _ port: UInt16, _ grace: Milliseconds) async throws -> Void
    /// A hub without members.
    public var makeHub: () -> any MessageHub

    public init(
        iterativeServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        forkServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        threadServer: @escaping (_ host: String, _ port: UInt16) throws -> Void,
        poolServer: @escaping (_ host: String, _ port: UInt16, PoolLimits, _ stop: Int32) throws -> Void,
        asyncServer: @escaping @Sendable (_ host: String, _ port: UInt16, _ grace: Milliseconds) async throws -> Void,
        makeHub: @escaping () -> any MessageHub
    ) {
        self.iterativeServer = iterativeServer
        self.forkServer = forkServer
        self.threadServer = threadServer
        self.poolServer = poolServer
        self.asyncServer = asyncServer
        self.makeHub = makeHub
    }

    /// What `poolServer` is started with by graders and on the command line.
    public static let limits = PoolLimits(threads: 4, queue: 8, grace: grace)
    /// How long a stop may take when clients do not take their answers.
    public static let grace: Milliseconds = 3000

    public var entries: [Entry] {
        [
            .server("iterative-server", iterativeServer),
            .server("fork-server", forkServer),
            .server("thread-server", threadServer),
            // SIGTERM, or Ctrl-C, asks for the stop.
            .server("pool-server") { host, port in
                let stop = try StopRequest()
                defer { stop.close() }
                onStopSignal { stop.ask() }
                try poolServer(host, port, Lesson12.limits, stop.descriptor)
            },
            .server("async-server") { [asyncServer] host, port in
                try runUntilDone { try await asyncServer(host, port, Lesson12.grace) }
            },
            .server("broadcast-hub") { host, port in try HubServer(hub: makeHub()).run(host: host, port: port) },
        ]
    }
}

/// What a pool may use.
public struct PoolLimits: Sendable {
    /// How many threads serve: as many clients are served at once.
    public var threads: Int
    /// How many accepted connections may wait for a thread.
    public var queue: Int
    /// How long the server goes on, once it was asked to stop, for clients that do not take their answers.
    public var grace: Milliseconds

    public init(threads: Int, queue: Int, grace: Milliseconds) {
        self.threads = threads
        self.queue = queue
        self.grace = grace
    }
}

/// Connections that all get the same messages. Every method may be called from any thread, at any time.
public protocol MessageHub: AnyObject, Sendable {
    /// From now on the connection gets every message, whole, and in the order of those of each sender.
    func join(_ connection: Int32)
    /// When it returns the hub does not use the connection any more: the caller may close it. A connection that is no
    /// member is left alone.
    func leave(_ connection: Int32)
    /// Sends the message to all members. Waits for none: who does not take its messages is thrown out, with shutdown(2).
    func broadcast(_ message: [UInt8])
}

/// A pipe whose reading end is readable for ever, once the stop was asked for.
private struct StopRequest: Sendable {
    let descriptor: Int32
    private let writeTo: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        (descriptor, writeTo) = (ends[0], ends[1])
    }

    /// One byte, which nobody takes out.
    func ask() { _ = write(writeTo, [1], 1) }

    func close() {
        Sockets.close(descriptor)
        Sockets.close(writeTo)
    }
}

/// Runs an async function from a function that is not, on the main thread: a signal cancels its task.
private func runUntilDone(_ body: @escaping @Sendable () async throws -> Void) throws {
    let end = TaskEnd()
    // Before there is a task, and with it a thread that a signal could strike.
    onStopSignal { end.cancel() }
    end.begin(
        Task.detached {
            do {
                try await body()
                end.come(nil)
            } catch is CancellationError {
                end.come(nil)
            } catch {
                end.come(error)
            }
        })
    if let error = end.wait() { throw error }
}

/// How a task ended. The main thread's run loop turns meanwhile: a program may well use the main queue or the main actor.
private final class TaskEnd: @unchecked Sendable {
    private let lock = NSLock()
    private var outcome: (any Error)??
    private var task: Task<Void, Never>?
    private var isCancelled = false

    func begin(_ task: Task<Void, Never>) {
        let isCancelled = lock.withLock {
            self.task = task
            return self.isCancelled
        }
        if isCancelled { task.cancel() }
    }

    func cancel() {
        let task = lock.withLock {
            isCancelled = true
            return self.task
        }
        task?.cancel()
    }

    func come(_ error: (any Error)?) {
        lock.withLock { outcome = .some(error) }
        DispatchQueue.main.async {}  // wakes the run loop
    }

    func wait() -> (any Error)? {
        // A run loop with nothing to wait for would come back at once.
        let never = Timer(timeInterval: 1e9, repeats: true) { _ in }
        RunLoop.main.add(never, forMode: .default)
        defer { never.invalidate() }
        while true {
            if let outcome = lock.withLock({ outcome }) { return outcome }
            _ = RunLoop.main.run(mode: .default, before: .distantFuture)
        }
    }
}
