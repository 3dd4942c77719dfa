// Lesson 15: the checks of the server at a path. The kernel says where a client finds it, the file system what it left.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

private let entry = "unix-echo-server"

let unixEchoChecks: [Check] = [
    Check("unix-answers", suspects: Cause.unixServer + [.decodedAsText]) { trial in
        let path = trial.path("echo.sock")
        let server = try trial.serve(entry, path: path)
        try trial.expect(server.address.host, equals: path, say("the path that it listens at", "监听的路径"))
        for size in [1, 100, 20_000] { try echo(trial.random.bytes(size), server) }
    },
    Check("unix-owner-only", suspects: Cause.unixServer) { trial in
        let path = trial.path("echo.sock")
        let server = try trial.serve(entry, path: path)
        try echo(Array("mine".utf8), server)
        let mode = try fileMode(path)
        guard mode & S_IFMT == S_IFSOCK, mode & 0o777 == 0o600 else {
            throw Failure(
                expected: say("the socket's file has mode 0600", "套接字文件的权限是 0600"),
                got: say("mode 0\(String(mode & 0o777, radix: 8))", "权限是 0\(String(mode & 0o777, radix: 8))"),
                cause: mode & 0o077 != 0 ? "anybody-may-connect" : mode & 0o100 != 0 ? "execute-bit-left" : nil)
        }
    },
    Check("unix-longest-path", suspects: Cause.unixServer) { trial in
        let path = try trial.path(ofLength: longestPath)
        let server = try trial.serve(entry, path: path)
        try trial.expect(server.address.host, equals: path, say("the path that it listens at", "监听的路径"))
        try echo(Array("long".utf8), server)
    },
    Check("unix-path-too-long") { trial in
        // One byte too many; and one that is short in characters.
        let characters = String(repeating: "字", count: max(1, (longestPath - trial.folder.utf8.count) / 3 + 1))
        for path in [try trial.path(ofLength: longestPath + 1), trial.path(characters)] {
            let expected = say(
                "it throws SocketError ENAMETOOLONG: the path has \(path.utf8.count) bytes",
                "抛出 SocketError ENAMETOOLONG：路径有 \(path.utf8.count) 字节")
            let outcome = try trial.serveInVain(entry, path: path)
            let made = try FileManager.default.contentsOfDirectory(atPath: trial.folder)
            if case .threw("SocketError", _, ENAMETOOLONG, _)? = outcome, made.isEmpty { continue }
            throw Failure(
                expected: expected,
                got: made.isEmpty
                    ? outcome?.text ?? say("it waits for clients", "它在等客户端")
                    : say(
                        "it made a file whose name has \(made[0].utf8.count) bytes",
                        "它建了一个名字有 \(made[0].utf8.count) 字节的文件"),
                cause: made.isEmpty ? nil : "path-cut")
        }
    },
    Check("unix-taken") { trial in
        let path = trial.path("echo.sock")
        let first = try trial.serve(entry, path: path)
        let file = fileNumber(path)
        try expectInUse(try trial.serveInVain(entry, path: path), say("a server listens there", "那里已有服务器在监听"))
        // Found by the file: the first one must still be the one that answers.
        do { try echo(Array("still here".utf8), first) } catch var failure as Failure {
            if fileNumber(path) != file {
                failure.cause = "removed-without-asking"
            } else if let end = first.subject.timeline.endLeftOpen {
                // The calls that the suspects look at are the second one's.
                (failure.cause, failure.detail) = ("connection-left-open", end)
            }
            throw failure
        }
        try trial.expectBusyServerKept()
    },
    Check("unix-leftover", suspects: [.leftoverKept, .leftOpen]) { trial in
        let path = trial.path("echo.sock")
        let first = try trial.serve(entry, path: path)
        try echo(Array("first".utf8), first)
        first.kill()
        _ = try fileMode(path)  // a killed server removes nothing
        try echo(Array("second".utf8), try trial.serve(entry, path: path))
    },
    Check("unix-not-a-socket") { trial in
        let path = trial.path("notes.txt")
        let content = trial.random.letters(40)
        try Data(content).write(to: URL(fileURLWithPath: path))
        let outcome = try trial.serveInVain(entry, path: path)
        guard FileManager.default.contents(atPath: path).map(Array.init) == content else {
            throw Failure(
                expected: say("the file at the path is left as it is", "路径上的文件原样保留"), got: say("it is gone", "文件没了"),
                cause: "removed-a-file")
        }
        try expectInUse(outcome, say("an ordinary file is there", "那里是一个普通文件"))
    },
    Check("unix-removed", suspects: [.stopIgnored]) { trial in
        let path = trial.path("echo.sock")
        let server = try trial.serve(entry, path: path)
        let client = try server.connect()
        try client.send("one")
        try client.expect("one")
        // It waits for this client's next word.
        server.subject.signal(SIGTERM)
        try server.expectReturn()
        do { try client.expectEnd() } catch let ended as ProgramEnded {
            throw Failure(
                expected: ended.expected, got: say("your server function returned", "服务器函数返回了"),
                cause: "left-open-at-the-end")
        }
        var status = stat()
        guard lstat(path, &status) != 0 else {
            throw Failure(
                expected: say("the socket's file is gone when the server has returned", "服务器返回后，套接字文件已不在"),
                got: say("it is still there", "它还在"), cause: "file-left")
        }
        // And for this one it waits until there is room for the answer.
        let other = try trial.serve(entry, path: trial.path("deaf.sock"))
        let deaf = try other.connect()
        _ = try deaf.sendUntilStuck(trial.random.letters(4 << 20))
        other.subject.signal(SIGTERM)
        try other.expectReturn()
        deaf.close()
        // And here for anybody at all.
        let idle = try trial.serve(entry, path: trial.path("idle.sock"))
        try echo(Array("only".utf8), idle)
        idle.subject.signal(SIGTERM)
        try idle.expectReturn()
    },
    Check("unix-vanish", suspects: [.stateOfTheOneBefore, .clientEndedServer, .leftOpen]) { trial in
        let server = try trial.serve(entry, path: trial.path("echo.sock"))
        try server.connect().close()
        // The server is stopped, so the client is surely gone by the time that it answers.
        try server.subject.pause()
        let early = try server.connect()
        try early.send("hello")
        early.close()
        server.subject.resume()
        try echo(Array("next".utf8), server)
        // And one that sends and sends, reads nothing, and leaves in the middle.
        let deaf = try server.connect()
        _ = try deaf.sendUntilStuck(trial.random.letters(4 << 20))
        deaf.close()
        try echo(Array("last".utf8), server)
    },
    Check(
        "unix-short", suspects: [.oneReceiveIsOneMessage] + Cause.unixServer + [.decodedAsText, .pendingDroppedAtEnd]
    ) {
        trial in
        let plan = FaultPlan.most(3, each: .receive) + .most(2, each: .send)
        let server = try trial.serve(entry, path: trial.path("echo.sock"), plan: plan)
        for endsAtOnce in [false, true, false] { try echo(trial.random.bytes(500), server, endsAtOnce: endsAtOnce) }
    },
    Check("unix-eintr", suspects: [.interruptedCall, .leftOpen]) { trial in
        let thrice = [FaultPlan.Calls.accept, .receive, .send, .waitReady]
            .map { FaultPlan.fail($0, 1, through: 3, with: EINTR) }
        let server = try trial.serve(entry, path: trial.path("echo.sock"), plan: thrice.reduce(.none, +))
        try echo(Array("again".utf8), server)
    },
    Check("unix-descriptors", suspects: [.connectionLeak, .leftOpen]) { trial in
        let server = try trial.serve(entry, path: trial.path("echo.sock"), descriptorLimit: 64)
        for _ in 0..<1_000 { try echo(Array("x".utf8), server) }
    },
]

/// A client's whole life: sends, gets it back, ends its side, sees the server end its own.
///
/// - Parameter endsAtOnce: it ends its side as soon as it has sent.
private func echo(_ message: [UInt8], _ server: Server, endsAtOnce: Bool = false) throws {
    let client = try server.connect()
    try client.send(message)
    if endsAtOnce { client.halfClose() }
    try client.expect(message)
    if !endsAtOnce { client.halfClose() }
    try client.expectEnd()
    client.close()
}

extension Trial {
    /// A server that is alive and has no time: its queue is full. (On macOS a full queue refuses, as if nobody listened.)
    fileprivate func expectBusyServerKept() throws {
        let path = path("busy.sock")
        let address = try SocketAddress(unixPath: path)
        let listener = try closeOnExecSocket(AF_UNIX, SOCK_STREAM)
        defer { close(listener) }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", Sockets.listen(listener, 0))
        var waiting: [Int32] = []
        defer { for client in waiting { close(client) } }
        var (isFull, isRefused) = (false, false)
        while !isFull, !isRefused, waiting.count < 16 {
            let client = try closeOnExecSocket(AF_UNIX, SOCK_STREAM)
            waiting.append(client)
            try check("fcntl", fcntl(client, F_SETFL, O_NONBLOCK))
            let error = address.withSockaddr { connect(client, $0, $1) } == 0 ? 0 : errno
            (isFull, isRefused) = (error == EAGAIN, error == ECONNREFUSED)
        }
        // Elsewhere than on Linux a full queue refuses, as if nobody listened: no server can tell the two.
        if isRefused { return }
        guard isFull else { throw LabError("the queue of a listener does not fill up") }
        note(say("at \(path) somebody listens whose queue is full", "\(path) 上有人在监听，它的队列已满"))
        do {
            try expectInUse(
                try serveInVain(entry, path: path), say("a server listens there, its queue full", "那里有服务器在监听，队列已满"))
            _ = try fileMode(path)
        } catch var failure as Failure {
            failure.cause = FileManager.default.fileExists(atPath: path) ? "busy-is-alive" : "removed-without-asking"
            throw failure
        }
    }
}

private func expectInUse(_ outcome: PendingCall.Outcome?, _ reason: String) throws {
    if case .threw("SocketError", _, EADDRINUSE, _)? = outcome { return }
    throw Failure(
        expected: say("it throws SocketError EADDRINUSE: \(reason)", "抛出 SocketError EADDRINUSE：\(reason)"),
        got: outcome?.text ?? say("it waits for clients", "它在等客户端"),
        cause: outcome == nil ? "removed-without-asking" : nil)
}

private func fileMode(_ path: String) throws -> mode_t {
    var status = stat()
    guard lstat(path, &status) == 0 else {
        throw Failure(expected: say("there is a file at \(path)", "\(path) 上有一个文件"), got: errorText(errno))
    }
    return status.st_mode
}

/// Which file it is, for a file that was removed and made anew; nil: there is none.
private func fileNumber(_ path: String) -> UInt64? {
    var status = stat()
    return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
}

/// What fits into sun_path with its final zero: 107 on Linux.
let longestPath = MemoryLayout.size(ofValue: sockaddr_un().sun_path) - 1

extension Trial {
    func path(_ name: String) -> String { folder + "/" + name }

    /// A path in the trial's folder that has so many bytes.
    func path(ofLength length: Int) throws -> String {
        let rest = length - folder.utf8.count - 1
        guard rest > 0 else {
            throw Unavailable(
                say(
                    "the temporary folder's own path is too long: set TMPDIR to a shorter one",
                    "临时文件夹自己的路径太长：请把 TMPDIR 设成短一些的路径"))
        }
        return path(String(repeating: "p", count: rest))
    }
}

extension Cause {
    /// Mistakes that any check of this server may meet.
    static let unixServer: [Cause] = [.addressInUseOfFile, .leftOpen, .clientEndedServer]

    /// bind met the file of an earlier one.
    static let addressInUseOfFile = Cause("leftover-kept") { evidence in
        evidence.timeline.calls("bind").last.flatMap { $0.error == EADDRINUSE ? $0.callText : nil }
    }
    static let leftoverKept = addressInUseOfFile

    /// It waits in a call that knows nothing of `stop`.
    static let stopIgnored = Cause("stop-not-watched") { evidence in
        evidence.timeline.blocked.last(where: { $0.isReceive || $0.isSend || $0.isAccept || $0.isWait })?.callText
    }
}
