// A trap of our own (a Swift precondition, a bad pointer) ends the process at once: no cleanup runs, and the shell would
// get a terminal that echoes nothing. So the handler of the signal puts the terminal back, with nothing but what a handler
// may call (signal-safety(7)), and leaves the rest to whoever had the signal before: Swift's backtrace, or the default.
import Foundation
import Sockets

enum CrashGuard {
    /// From now on a crash writes `farewell` to `output` and gives `input` these settings.
    static func arm(input: Int32, output: Int32, settings: termios, farewell: String) {
        disarm()
        let bytes = Array(farewell.utf8)
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count)
        text.initialize(from: bytes, count: bytes.count)
        let new = UnsafeMutablePointer<Guarded>.allocate(capacity: 1)
        new.initialize(to: Guarded(input: input, output: output, settings: settings, text: text, count: bytes.count))
        guarded = new
        for number in crashSignals {
            sigaction(number, nil, before + Int(number))
            signal(number) { number in crashed(number) }
            // On a stack of its own where there is one: the crash may be that the stack is full.
            var action = sigaction()
            sigaction(number, nil, &action)
            action.sa_flags |= SA_ONSTACK
            sigaction(number, &action, nil)
        }
    }

    static func disarm() {
        guard let old = guarded else { return }
        for number in crashSignals { sigaction(number, before + Int(number), nil) }
        guarded = nil
        old.pointee.text.deallocate()
        old.deallocate()
    }
}

/// The handler: no memory is taken here, and no lock.
private func crashed(_ number: Int32) {
    if let guarded {
        tcsetattr(guarded.pointee.input, TCSANOW, &guarded.pointee.settings)
        _ = write(guarded.pointee.output, guarded.pointee.text, guarded.pointee.count)
    }
    sigaction(number, before + Int(number), nil)
    // Blocked while we are here, and delivered to the handler from before when we are done.
    raise(number)
}

private struct Guarded {
    var input: Int32
    var output: Int32
    var settings: termios
    var text: UnsafeMutablePointer<UInt8>
    var count: Int
}

/// The signals of a program that has gone wrong.
private let crashSignals = [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE]
// Everything that the handler reads is there before it can run.
nonisolated(unsafe) private var guarded: UnsafeMutablePointer<Guarded>?
/// By the signal's number, all of which are below 32.
nonisolated(unsafe) private let before = UnsafeMutablePointer<sigaction>.allocate(capacity: 32)
