/// Threads that surely run. Foundation's `Thread` says nothing when the system refuses one, and whoever then waits for it
/// waits for ever.
import Course
import Foundation
import Sockets

/// Starts a thread that nobody joins.
///
/// - Parameter stackSize: in bytes.
/// - Throws: `LabError` if there is no thread to be had.
public func startThread(stackSize: Int = 4 << 20, _ body: @escaping @Sendable () -> Void) throws {
    let failure = askedAgain { createThread(stackSize: stackSize, body) }
    guard failure == 0 else {
        throw LabError(
            say("the system gives no more threads: \(errorText(failure))", "系统不再提供线程：\(errorText(failure))"))
    }
}

/// A machine may refuse a thread or a process for a moment (`EAGAIN`, fork(2): a fork bomb next door), so it is asked again
/// for a while.
func askedAgain(_ ask: () -> Int32) -> Int32 {
    let deadline = Deadline(in: 3)
    while true {
        let failure = ask()
        guard failure == EAGAIN, !deadline.hasPassed else { return failure }
        poll(nil, 0, 20)
    }
}

/// What a thread is to do, on its way through C.
final class ThreadBody: Sendable {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    /// To be called once with each pointer that `passed` made.
    static func run(_ pointer: UnsafeMutableRawPointer) {
        Unmanaged<ThreadBody>.fromOpaque(pointer).takeRetainedValue().body()
    }

    var passed: UnsafeMutableRawPointer { Unmanaged.passRetained(self).toOpaque() }

    /// Takes back what a thread that was not started would have taken.
    static func drop(_ pointer: UnsafeMutableRawPointer) { Unmanaged<ThreadBody>.fromOpaque(pointer).release() }
}

/// Does `count` things, `width` at a time, each on another thread, and hands what they give to this one as it comes.
///
/// - Parameter width: fewer if the system gives no more threads; at worst this thread does it all.
public func inParallel<Result: Sendable>(
    count: Int, width: Int, _ body: @escaping @Sendable (_ index: Int) -> Result,
    arrived: (_ index: Int, Result) -> Void
) {
    let work = Work<Result>(count: count)
    var workers = 0
    while workers < min(width, count) {
        do {
            try startThread { while let index = work.next() { work.put(index, body(index)) } }
            workers += 1
        } catch { break }
    }
    if workers == 0 { while let index = work.next() { arrived(index, body(index)) } }
    for _ in 0..<(workers == 0 ? 0 : count) {
        let (index, result) = work.take()
        arrived(index, result)
    }
}

/// What is still to be done, and what was done and not yet handed on.
private final class Work<Result: Sendable>: @unchecked Sendable {
    private let condition = NSCondition()
    private let count: Int
    private var begun = 0
    private var done: [(Int, Result)] = []

    init(count: Int) { self.count = count }

    func next() -> Int? {
        condition.withLock {
            guard begun < count else { return nil }
            defer { begun += 1 }
            return begun
        }
    }

    func put(_ index: Int, _ result: Result) {
        condition.withLock {
            done.append((index, result))
            condition.signal()
        }
    }

    func take() -> (Int, Result) {
        condition.withLock {
            while done.isEmpty { condition.wait() }
            return done.removeFirst()
        }
    }
}
