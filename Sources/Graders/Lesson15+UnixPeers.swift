// Lesson 15: the grader's own Unix sockets, and Python as a peer that nobody here wrote.
import Course
import Foundation
import GraderKit
import Sockets

/// Two connected stream sockets: one for us, one to be passed to the program.
final class UnixPair {
    let ours: Int32
    let theirs: Int32

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, &ends))
        (ours, theirs) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }

    deinit {
        close(ours)
        close(theirs)
    }
}

/// Bound to a path, and waits for others.
final class UnixListener {
    private let descriptor: Int32

    init(at path: String) throws {
        let address = try SocketAddress(unixPath: path)
        descriptor = try closeOnExecSocket(AF_UNIX, SOCK_STREAM)
        try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, 8))
    }

    deinit { close(descriptor) }

    /// The connection of a program that is the grader's own: waited for as long as that runs, for it may start slowly.
    func accept(from program: PythonScript) throws -> Int32 {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while poll(&waiting, 1, 100) <= 0 {
            guard program.isRunning else { throw LabError("python3 ended before it connected") }
        }
        return try check("accept", acceptCloseOnExec(descriptor))
    }
}

/// A short program of Python's own socket module. It ends when it is stopped, or its standard input ends.
final class PythonScript {
    private let process = Process()
    private let input = Pipe()

    init(_ program: String, _ arguments: [String]) throws {
        let interpreter = try PythonPeer.interpreter(with: "socket")
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", program] + arguments
        process.standardInput = input
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
    }

    var processNumber: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }

    func stop() {
        // It may be gone already: its input is closed, and it is waited for.
        try? input.fileHandleForWriting.close()
        process.terminate()
        process.waitUntilExit()
    }
}

/// The next bytes, or fewer at the end of the stream; nil if nothing came in time.
func readSome(_ descriptor: Int32, _ most: Int, within seconds: Double = Deadline.patience) throws -> [UInt8]? {
    let deadline = Deadline(in: seconds)
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&waiting, 1, 20) <= 0 { if deadline.hasPassed { return nil } }
    var buffer = [UInt8](repeating: 0, count: most)
    let count = try check("read", read(descriptor, &buffer, most))
    return Array(buffer[..<count])
}
