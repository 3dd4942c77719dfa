// Lesson 15: the checks of peer credentials. What is right the grader knows: it made the other ends.
import Course
import Foundation
import GraderKit
import Sockets

let peerCredentialsChecks: [Check] = [
    Check("credentials-pair") { trial in
        let pair = try UnixPair()
        let call = try trial.begin("peer-credentials", [.passed(pair.theirs)])
        try trial.expectCredentials(call, process: getpid(), user: getuid(), group: getgid())
    },
    Check("credentials-client") { trial in
        // Another program; where we may make it so, with a user and a group of its own. It says itself who it is.
        let listener = try UnixListener(at: trial.path("peer.sock"))
        try check("chmod", chmod(trial.folder, 0o711))
        try check("chmod", chmod(trial.path("peer.sock"), 0o666))
        let python = try PythonScript(
            """
            import os, socket, sys
            os.chdir(sys.argv[1])
            try:
                os.setgroups([]); os.setgid(43210); os.setuid(54321)
            except OSError:
                pass
            s = socket.socket(socket.AF_UNIX)
            s.connect("peer.sock")
            s.send(b"%d %d" % (os.getuid(), os.getgid()))
            sys.stdin.read()
            """, [trial.folder])
        defer { python.stop() }
        let connection = try listener.accept(from: python)
        defer { close(connection) }
        let said = String(decoding: try readSome(connection, 100) ?? [], as: UTF8.self).split(separator: " ")
        guard said.count == 2, let user = uid_t(said[0]), let group = gid_t(said[1]) else {
            throw LabError("python3 did not say who it is: \(said)")
        }
        let call = try trial.begin("peer-credentials", [.passed(connection)])
        try trial.expectCredentials(call, process: python.processNumber, user: user, group: group)
    },
    Check("credentials-nobody") { trial in
        let tcp = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        defer { close(tcp) }
        let alone = try closeOnExecSocket(AF_UNIX, SOCK_STREAM)
        defer { close(alone) }
        for (socket, what) in [
            (tcp, say("a TCP socket", "TCP 套接字")),
            (alone, say("a Unix socket that is not connected", "没有连接的 Unix 套接字")),
        ] {
            let expected = say(
                "for \(what) it throws CredentialsError.unknown", "对\(what)，抛出 CredentialsError.unknown")
            switch try trial.begin("peer-credentials", [.passed(socket)]).outcome(expecting: expected) {
            case .threw("CredentialsError", "unknown", _, _): continue
            case .returned(let value):
                throw Failure(expected: expected, got: credentialsText(value), cause: "nobody-as-a-user")
            case let outcome: throw Failure(expected: expected, got: outcome.text)
            }
        }
        let file = try check("open", open("/dev/null", O_RDONLY | O_CLOEXEC))
        defer { close(file) }
        do { try expectSocketError([ENOTSOCK], from: try trial.begin("peer-credentials", [.passed(file)])) } catch var
            failure as Failure
        {
            if failure.cause == nil { failure.cause = "failure-taken-for-unknown" }
            throw failure
        }
    },
]

extension Trial {
    fileprivate func expectCredentials(_ call: PendingCall, process: Int32, user: uid_t, group: gid_t) throws {
        let right = Value.list([.int(Int(process)), .int(Int(user)), .int(Int(group))])
        let expected = credentialsText(right)
        let got = try call.value(expecting: expected)
        guard got != right else { return }
        var cause: String?
        let fields = try [got].list(0)
        let subject = Int(call.subject.processNumber)
        if fields[0] == .int(subject) { cause = "own-credentials" }
        if fields[1] == .int(Int(group)), fields[2] == .int(Int(user)), user != group {
            cause = "user-and-group-exchanged"
        }
        throw Failure(expected: expected, got: credentialsText(got), cause: cause)
    }
}

private func credentialsText(_ value: Value) -> String {
    guard case .list(let fields) = value, fields.count == 3 else { return value.text }
    return say(
        "process \(fields[0].text), user \(fields[1].text), group \(fields[2].text)",
        "进程 \(fields[0].text)、用户 \(fields[1].text)、组 \(fields[2].text)")
}
