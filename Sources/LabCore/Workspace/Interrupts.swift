// Ctrl-C, a closed terminal, or a polite kill: what must be undone is undone, and then the process dies of the very signal,
// as its parent expects (signal(7)).
import Foundation
import Sockets
import Synchronization

/// The signals that end `lab`, and what to undo when one comes.
public enum Interrupts {
    private struct State {
        var installed = false
        var next = 0
        var cleanups: [(id: Int, body: @Sendable () -> Void)] = []
        var folders: Set<String> = []
    }

    private static let state = Mutex(State())
    /// Held while a file is half written.
    private static let critical = Mutex(())

    static let signals = [SIGINT, SIGTERM, SIGHUP]

    /// Call once, early. The handler only writes to a pipe (signal-safety(7)), and a thread does the rest; no mask is
    /// set, because a child would inherit it, while exec(2) puts handlers back.
    public static func install() {
        let first = state.withLock { state in
            defer { state.installed = true }
            return !state.installed
        }
        guard first else { return }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }  // without it Ctrl-C ends the process as it ends any other
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let (reader, writer) = (ends[0], ends[1])
        signalPipe = writer
        for number in signals {
            let before = signal(number) { number in
                var byte = UInt8(truncatingIfNeeded: number)
                let saved = errno
                hasCome = true
                _ = write(signalPipe, &byte, 1)
                errno = saved
            }
            // A hang-up that our parent ignores stays ignored: that is what nohup(1) is for. SIGINT does not, though a
            // script's `lab run … &` starts with it ignored: `kill -INT` has to stop a server that runs so.
            let ignored = unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
            if number == SIGHUP && ignored { signal(number, SIG_IGN) }
        }
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while read(reader, &byte, 1) != 1 {}
            end(by: Int32(byte))
        }
    }

    /// Where a call has failed: it may have been interrupted by the signal that ends us, and then it says nothing. Does not
    /// come back in that case.
    static func parkIfEnding() {
        while hasCome { pause() }
    }

    /// `body` will run, on a thread of its own, if a signal ends the process before `remove`. The last added runs first.
    public static func add(_ body: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.next += 1
            state.cleanups.append((state.next, body))
            return state.next
        }
    }

    public static func remove(_ id: Int) { state.withLock { $0.cleanups.removeAll { $0.id == id } } }

    /// `folder` and all in it will be gone when a signal has ended the process.
    static func add(folder: String) { state.withLock { _ = $0.folders.insert(folder) } }

    static func remove(folder: String) { state.withLock { _ = $0.folders.remove(folder) } }

    /// Runs `body` to its end even if a signal comes meanwhile.
    public static func held<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        try critical.withLock { _ throws(Failure) in try body() }
    }

    /// Undoes what must be, and dies of the signal.
    public static func end(by number: Int32) -> Never {
        let (cleanups, folders) = state.withLock { ($0.cleanups, $0.folders) }
        for cleanup in cleanups.reversed() { cleanup.body() }
        critical.withLock { _ in
            signal(number, SIG_DFL)
            if !folders.isEmpty { become(["sh", "-c", removal, "sh", "\(number)"] + folders) }
            raise(number)
        }
        _exit(128 + number)
    }
}

/// Other threads may make files until the very end: only when this process has become another program are they gone.
/// A second Ctrl-C does not stop it.
private let removal = "trap '' INT TERM HUP; n=$1; shift; rm -rf -- \"$@\"; trap - INT TERM HUP; kill -\"$n\" $$"

/// execv(3); comes back only if that is not possible.
private func become(_ words: [String]) {
    var arguments = words.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    execv("/bin/sh", &arguments)
}

/// Set by the handler, on the thread whose call it interrupts.
nonisolated(unsafe) private var hasCome = false

/// Where the handler writes; set before the handler is.
nonisolated(unsafe) private var signalPipe: Int32 = -1
