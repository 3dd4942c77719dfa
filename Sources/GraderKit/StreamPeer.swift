/// The grader's end of a TCP connection. Every wait has a deadline; whatever is not as expected is a `Failure` that says
/// what was expected on which connection, and what came instead.
import Course
import Foundation
import Sockets
import Wire

public final class StreamPeer {
    /// `connection 2`
    public let name: String
    public let descriptor: Int32
    private let trial: Trial
    private let subject: Subject
    private var isOpen = true
    /// Its own side was ended, by `halfClose`.
    public private(set) var isHalfClosed = false
    /// Everything that was received.
    public private(set) var received: [UInt8] = []
    /// Since when the program may have heard nothing from here: it was connected, sent, or took what came.
    private var silentSince = now()
    /// When something was received here last.
    private var lastHeard: UInt64 = 0

    init(descriptor: Int32, name: String, trial: Trial, subject: Subject) {
        self.descriptor = descriptor
        self.name = name
        self.trial = trial
        self.subject = subject
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    /// A check that gives up has still to say what the program was doing: a connection that closed now would wake it.
    deinit { if isOpen { trial.closeAtTheEnd(descriptor) } }

    static func connect(
        to address: SocketAddress, smallBuffers: Bool = false, name: String, trial: Trial, subject: Subject
    ) throws -> StreamPeer {
        let peer = try begin(to: address, smallBuffers: smallBuffers, name: name, trial: trial, subject: subject)
        try peer.expectConnected()
        return peer
    }

    /// Starts to connect; `expectConnected` waits until the kernel on the other side has agreed.
    static func begin(
        to address: SocketAddress, smallBuffers: Bool = false, name: String, trial: Trial, subject: Subject
    ) throws -> StreamPeer {
        let descriptor = try closeOnExecSocket(address.family, SOCK_STREAM)
        if smallBuffers { shrinkBuffers(descriptor) }
        let peer = StreamPeer(descriptor: descriptor, name: name, trial: trial, subject: subject)
        trial.note(say("\(name): connect", "\(name)：connect"))
        if address.withSockaddr({ Sockets.connect(descriptor, $0, $1) }) != 0 {
            guard errno == EINPROGRESS || errno == EINTR else {
                throw Failure(expected: say("\(address) can be reached", "可以连到 \(address)"), got: errorText(errno))
            }
        }
        return peer
    }

    /// The connection is made: the program need not have accepted it for that, only listened.
    public func expectConnected(within seconds: Double = Deadline.patience) throws {
        let expected = say("\(name) is connected", "\(name)连接成功")
        try wait(
            Int32(POLLOUT), until: Deadline(in: seconds), expected: expected,
            got: say("no answer to the handshake", "握手没有回应"))
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length))
        guard code == 0 else { throw Failure(expected: expected, got: errorText(code)) }
    }

    /// With each send. A busy machine may have kept us from it for longer than a server has patience.
    public func endSilence() {
        trial.noteSilence(Double(now() - silentSince) / 1e9)
        silentSince = now()
    }

    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends all of it; a program that does not read it in time fails.
    public func send(_ bytes: [UInt8], within seconds: Double = Deadline.patience) throws {
        trial.note(say("\(name): send \(quoted(bytes))", "\(name)：发送 \(quoted(bytes))"))
        let deadline = Deadline(in: seconds)
        var sent = 0
        while sent < bytes.count {
            let (count, code) = sendNow(bytes[sent...])
            if count > 0 {
                sent += count
                continue
            }
            let expected = say(
                "\(name): the program reads \(byteCount(bytes.count))", "\(name)：程序读走 \(byteCount(bytes.count))")
            switch code {
            case EINTR: continue
            case EAGAIN:
                try wait(
                    Int32(POLLOUT), until: deadline, expected: expected,
                    got: say("it stopped reading after \(sent)", "读了约 \(sent) 字节后不再读"))
            default:
                throw Failure(expected: expected, got: say("the connection is broken: ", "连接断开：") + errorText(code))
            }
        }
    }

    /// Sends what fits in now and returns how much that was: for peers that are not meant to be read.
    public func sendWhatFits(_ bytes: [UInt8]) throws -> Int { try sendWhatFits(bytes[...]) }

    private func sendWhatFits(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let (count, code) = sendNow(bytes)
        if count >= 0 { return count }
        if code == EAGAIN || code == EINTR { return 0 }
        throw Failure(
            expected: say("\(name) stays open", "\(name)保持连接"),
            got: say("the connection is broken: ", "连接断开：") + errorText(code))
    }

    private func sendNow(_ bytes: ArraySlice<UInt8>) -> (count: Int, code: Int32) {
        let count = bytes.withUnsafeBytes { Sockets.send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        let code = count < 0 ? errno : 0
        // Where nothing went in nothing was said; and what it took to get to the send was silence, too.
        if code != EAGAIN && code != EINTR { endSilence() }
        return (count, code)
    }

    /// Sends of `bytes` as much as goes in until the program stops taking any: a peer that asks and never reads. Ends when
    /// nothing has gone in for a fifth of a second, and it has received nothing in that time either, slow as it may be: also
    /// where all of it went in, since that may lie in the program's receive buffer yet; and in any case when nothing has gone
    /// in for as long as the grader waits for anything. How much went in is returned.
    ///
    /// - Parameter isEnough: ends it before, where the program has kept too much already.
    public func sendUntilStuck(_ bytes: [UInt8], isEnough: (Timeline) -> Bool = { _ in false }) throws -> Int {
        let began = now()
        // It may not even have been let run to accept.
        var wholeWait = Deadline()
        var sent = 0
        while true {
            if sent < bytes.count {
                // Not a copy of it all: that takes time, in which nothing is said.
                let count = try sendWhatFits(bytes[sent...])
                sent += count
                if count > 0 {
                    wholeWait = Deadline()
                    continue
                }
            }
            let patience = Deadline(in: 0.2)
            // poll passes over a negative descriptor.
            let waiting = sent < bytes.count ? descriptor : -1
            let state = awaitReadiness(of: waiting, Int32(POLLOUT), until: patience, or: subject.interruption)
            if state == .programEnded {
                throw ProgramEnded(expected: say("the program lives on", "程序继续运行"))
            }
            guard state == .late else { continue }
            let timeline = subject.timeline
            if isEnough(timeline) || wholeWait.hasPassed { break }
            let last = timeline.calls.last { $0.isReceive && timeline.movesBytes($0) }?.returned
            if let last, now() > last + 200_000_000 { break }
        }
        trial.note(
            say("\(name): send \(sent) bytes, and read nothing", "\(name)：发送 \(sent) 字节，什么也不读"), at: began)
        return sent
    }

    public func expect(_ text: String) throws { try expect(Array(text.utf8)) }

    /// The next bytes are exactly these. Fails at the first that differs.
    public func expect(_ expected: [UInt8], within seconds: Double = Deadline.patience) throws {
        var deadline = Deadline(in: seconds)
        let sentence = say(
            "\(quoted(expected)) on \(name) within \(Deadline.text(seconds)) s",
            "\(name)在 \(Deadline.text(seconds)) 秒内收到 \(quoted(expected))")
        var got: [UInt8] = []
        while got.count < expected.count {
            let part: [UInt8]
            switch try receive(expected.count - got.count, until: deadline, expected: sentence) {
            case .bytes(let bytes): part = bytes
            case .late:
                throw Failure(
                    expected: sentence, got: got.isEmpty ? say("nothing", "什么也没有") : say("only ", "只有 ") + quoted(got),
                    difference: got.isEmpty ? [] : byteDifference(expected: expected, got: got))
            case .end:
                throw Failure(
                    expected: sentence,
                    got: got.isEmpty
                        ? say("the connection was closed", "连接被关闭")
                        : say("the connection was closed after \(quoted(got))", "收到 \(quoted(got)) 后连接被关闭"))
            case .broken(let code):
                throw Failure(
                    expected: sentence,
                    got: say("the connection was broken: \(errorText(code))", "连接断开：\(errorText(code))"))
            }
            let isRight = expected.withUnsafeBytes { memcmp($0.baseAddress! + got.count, part, part.count) == 0 }
            got += part
            deadline = deadline.renewed()
            guard isRight else {
                throw Failure(
                    expected: sentence, got: quoted(got), difference: byteDifference(expected: expected, got: got))
            }
        }
        trial.note(say("\(name): received \(quoted(got))", "\(name)：收到 \(quoted(got))"))
    }

    /// The program closes its side, and sends nothing before that.
    public func expectEnd(within seconds: Double = Deadline.patience) throws {
        let sentence = say("the program closes \(name)", "程序关闭\(name)")
        switch try receive(64, until: Deadline(in: seconds), expected: sentence) {
        case .end: trial.note(say("\(name): end of stream", "\(name)：流结束"))
        case .late:
            throw Failure(
                expected: sentence,
                got: say("it is still open after \(Deadline.text(seconds)) s", "\(Deadline.text(seconds)) 秒后仍然开着"))
        case .bytes(let bytes):
            throw Failure(expected: sentence, got: say("more bytes: \(quoted(bytes))", "又收到 \(quoted(bytes))"))
        case .broken(let code):
            throw Failure(expected: sentence, got: say("it was reset: ", "连接被重置：") + errorText(code))
        }
    }

    /// The program has closed the connection, and read all that came before: closed with bytes unread, it is reset, also
    /// where the end of the stream has been seen.
    public func expectNoReset(cause: String? = nil) throws {
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        try check("getsockopt", getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length))
        guard code != 0 else { return }
        throw Failure(
            expected: say("\(name) ends, and is not reset", "\(name)正常结束，不被重置"),
            got: say("it was reset: ", "连接被重置：") + errorText(code), cause: cause)
    }

    /// Everything until the program closes its side.
    public func receiveToEnd(within seconds: Double = Deadline.patience, most: Int = 1 << 26) throws -> [UInt8] {
        let sentence = say("the program sends and then closes \(name)", "程序发送完毕后关闭\(name)")
        var deadline = Deadline(in: seconds)
        var got: [UInt8] = []
        while got.count < most {
            switch try receive(1 << 16, until: deadline, expected: sentence) {
            case .bytes(let bytes):
                got += bytes
                deadline = deadline.renewed()
            case .end: return got
            case .late:
                throw Failure(
                    expected: sentence,
                    got: say("\(byteCount(got.count)), and it is still open", "收到 \(byteCount(got.count))，仍然开着"))
            case .broken(let code):
                throw Failure(expected: sentence, got: say("it was reset: ", "连接被重置：") + errorText(code))
            }
        }
        throw Failure(expected: sentence, got: say("more than \(most) bytes", "超过 \(most) 字节"))
    }

    public enum Received {
        case bytes([UInt8])
        case end
        case broken(Int32)
        case late
    }

    /// What comes next, at most `most` bytes of it.
    public func receive(_ most: Int, until deadline: Deadline, expected: String) throws -> Received {
        var buffer = [UInt8](repeating: 0, count: max(1, min(most, 1 << 18)))
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 {
                received += buffer.prefix(count)
                // This may have lain here for long; the program sent it when the one before had come, or later.
                silentSince = max(silentSince, lastHeard)
                lastHeard = now()
                return .bytes(Array(buffer.prefix(count)))
            }
            if count == 0 { return .end }
            let code = errno
            if code == EINTR { continue }
            guard code == EAGAIN else { return .broken(code) }
            switch awaitReadiness(of: descriptor, Int32(POLLIN), until: deadline, or: subject.interruption) {
            case .ready: continue
            case .late: return .late
            case .programEnded: throw ProgramEnded(expected: expected)
            }
        }
    }

    /// "No more from me", while receiving goes on (shutdown(2), SHUT_WR).
    public func halfClose() {
        trial.note(say("\(name): half-close", "\(name)：半关闭"))
        shutdown(descriptor, SHUT_WR)
        isHalfClosed = true
    }

    public func close() {
        guard isOpen else { return }
        isOpen = false
        trial.note(say("\(name): close", "\(name)：关闭"))
        Sockets.close(descriptor)
    }

    /// Closes with a reset: what is under way is lost (SO_LINGER with time 0, socket(7)).
    public func reset() {
        guard isOpen else { return }
        isOpen = false
        trial.note(say("\(name): reset", "\(name)：重置"))
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        Sockets.close(descriptor)
    }

    private func wait(_ events: Int32, until deadline: Deadline = Deadline(), expected: String, got: String) throws {
        switch awaitReadiness(of: descriptor, events, until: deadline, or: subject.interruption) {
        case .ready: return
        case .late: throw Failure(expected: expected, got: got)
        case .programEnded: throw ProgramEnded(expected: expected)
        }
    }
}

/// A TCP server that the grader plays.
public final class StreamListener {
    public let address: SocketAddress
    private let descriptor: Int32
    private let trial: Trial

    init(host: String, backlog: Int32, smallBuffers: Bool, trial: Trial) throws {
        let any = try SocketAddress(host: host, port: 0)
        let descriptor = try closeOnExecSocket(any.family, SOCK_STREAM)
        self.descriptor = descriptor
        if smallBuffers { shrinkBuffers(descriptor) }
        try check("bind", any.withSockaddr { bind(descriptor, $0, $1) })
        try check("listen", listen(descriptor, backlog))
        address = try SocketAddress.local(of: descriptor)
        self.trial = trial
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    deinit { Sockets.close(descriptor) }

    /// As an argument of a function that works on a socket: the host connects one to this listener.
    public var socketArgument: Value { .socket(type: SOCK_STREAM, address: address.bytes) }

    /// The next connection of the program that makes `call`.
    public func accept(from call: PendingCall) throws -> StreamPeer {
        if let peer = try accept(orReturnOf: call) { return peer }
        throw Failure(
            expected: say("the program connects to \(address)", "程序连接 \(address)"), got: try call.outcome().text)
    }

    /// The same, or nil if the function comes back without having made one; its outcome is still to be asked for.
    public func accept(orReturnOf call: PendingCall) throws -> StreamPeer? {
        do { return try accept(by: call.subject, answered: call.subject.answered) } catch let error as ProgramEnded {
            guard call.subject.hasAnswered else { throw error }
            return nil
        }
    }

    /// The next connection that a server of the program's makes.
    public func accept(by server: Server) throws -> StreamPeer { try accept(by: server.subject, answered: nil) }

    /// Takes a connection out of the queue, if one is there, whosever it is: for one more that is being opened.
    public func makeRoom() {
        let connection = acceptCloseOnExec(descriptor)
        if connection >= 0 { trial.closeAtTheEnd(connection) }
    }

    private func accept(by subject: Subject, answered: Interruption?) throws -> StreamPeer {
        let name = trial.nextConnectionName()
        let expected = say("the program connects to \(address)", "程序连接 \(address)")
        let deadline = Deadline()
        while true {
            let connection = acceptCloseOnExec(descriptor)
            if connection >= 0 {
                trial.note(say("\(name): accepted", "\(name)：已接受"))
                return StreamPeer(descriptor: connection, name: name, trial: trial, subject: subject)
            }
            switch errno {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: break
            default: throw SocketError("accept", errno)
            }
            let readiness = awaitReadiness(
                of: descriptor, Int32(POLLIN), until: deadline, or: subject.interruption, answered: answered)
            switch readiness {
            case .ready: continue
            case .late: throw Failure(expected: expected, got: say("it did not", "没有连接"))
            case .programEnded: throw ProgramEnded(expected: expected)
            }
        }
    }
}

extension Trial {
    /// A TCP server of the grader's, for the program to connect to.
    ///
    /// - Parameter smallBuffers: a program that sends has to wait after about 100 KB that are not read, not after megabytes.
    public func listen(host: String = "127.0.0.1", backlog: Int32 = 128, smallBuffers: Bool = false) throws
        -> StreamListener
    {
        try StreamListener(host: host, backlog: backlog, smallBuffers: smallBuffers, trial: self)
    }

    /// A TCP client of a server that somebody else has started, in the process of `subject`.
    public func streamClient(to address: SocketAddress, of subject: Subject) throws -> StreamPeer {
        try StreamPeer.connect(to: address, name: nextConnectionName(), trial: self, subject: subject)
    }
}

/// On loopback a sender need not wait before 4 MB lie unread: its buffer grows with the segment size, and loopback's is
/// 64 KB. With the segments of a real network, and a small window on our side, the program's send has to wait after about
/// 100 KB, so that a check need not move megabytes. The other way its own receive buffer, which nobody but the program can
/// limit, grows to 1.3 MB before our send has to wait. Set before connect or listen: the segment size is agreed on in the
/// handshake.
private func shrinkBuffers(_ descriptor: Int32) {
    var segment: Int32 = 536
    var window: Int32 = 4096
    let size = socklen_t(MemoryLayout<Int32>.size)
    setsockopt(descriptor, IPPROTO_TCP, TCP_MAXSEG, &segment, size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &window, size)
}
