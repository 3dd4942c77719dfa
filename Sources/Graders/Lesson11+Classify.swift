// Checks of exercise 11 classify. lesson.json describes each under the same id.
import Course
import GraderKit
import Sockets

let lesson11Classify: [Check] = [
    Check("classify-interrupted") { try $0.expectAdvice(.callAgain, about: [EINTR]) },
    Check("classify-wait") {
        try $0.expectAdvice(.waitUntilReady, about: [EAGAIN, EWOULDBLOCK, EINPROGRESS, EALREADY])
    },
    Check("classify-later") { trial in
        let always = [ECONNREFUSED, ENETDOWN, EMFILE, ENFILE, ENOBUFS, ENOMEM]
        try trial.expectAdvice(.tryLater, about: always + dependOnTheMoment, connected: [false])
    },
    Check("classify-peer-gone") { trial in
        try trial.expectAdvice(.peerIsGone, about: [EPIPE] + dependOnTheMoment, connected: [true])
    },
    Check("classify-address") {
        try $0.expectAdvice(.wrongAddress, about: [EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, EAFNOSUPPORT])
    },
    Check("classify-program") { trial in
        try trial.expectAdvice(
            .wrongProgram,
            about: [
                EBADF, EINVAL, ENOTSOCK, EFAULT, EISCONN, ENOTCONN, EOPNOTSUPP, EPROTONOSUPPORT, ENOPROTOOPT,
                EMSGSIZE, EDESTADDRREQ,
            ])
    },
    Check("classify-unknown") { try $0.expectAdvice(.unknown, about: [0, -1, EXDEV, EDOM, 9999]) },
]

/// Before there is a connection, try later; on one that is open, the peer is gone.
private let dependOnTheMoment = [ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH]

extension Trial {
    fileprivate func expectAdvice(
        _ advice: ErrorAdvice, about codes: [Int32], connected moments: [Bool] = [false, true]
    ) throws {
        for code in codes {
            for isConnected in moments {
                let value = try call("classify", .int(Int(code)), .bool(isConnected))
                guard case .string(let name) = value, let got = ErrorAdvice(rawValue: name) else {
                    throw LabError("unexpected \(value)")
                }
                if got == advice { continue }
                let what = say(
                    "\(errorName(code)) \(isConnected ? "on an open connection" : "before there is a connection")",
                    "\(isConnected ? "连接已建立时的" : "还没有连接时的") \(errorName(code))")
                throw Failure(
                    expected: say("\(what): .\(advice)", "\(what)：.\(advice)"), got: ".\(got)",
                    cause: mistake(got, for: advice, about: code))
            }
        }
    }

    private func mistake(_ got: ErrorAdvice, for advice: ErrorAdvice, about code: Int32) -> String {
        let again: Set<ErrorAdvice> = [.callAgain, .waitUntilReady, .tryLater]
        let never: Set<ErrorAdvice> = [.peerIsGone, .wrongAddress, .wrongProgram, .unknown]
        if advice == .unknown { return "unknown-given-a-name" }
        if got == .unknown { return "errno-not-recognised" }
        if dependOnTheMoment.contains(code), [.tryLater, .peerIsGone].contains(got) { return "moment-ignored" }
        if advice == .waitUntilReady, got == .callAgain { return "not-ready-called-again" }
        if never.contains(advice), again.contains(got) { return "hopeless-retried" }
        if again.contains(advice), never.contains(got) { return "passing-error-final" }
        return "another-advice"
    }
}
