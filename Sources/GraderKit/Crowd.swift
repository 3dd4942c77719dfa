/// Many TCP clients at once, driven by one thread: each sends its message, in pieces where the check asks for it, and
/// compares every byte that comes back. For servers that claim to serve hundreds or thousands.
import Course
import Foundation
import Sockets
import Wire

public final class Crowd {
    /// One client's part.
    struct Member {
        var descriptor: Int32
        var toSend: [UInt8]
        var sent = 0
        var expected: [UInt8]
        var received = 0
        var isConnected = false
    }

    private var members: [Member] = []
    private let trial: Trial
    private let server: Server

    /// Connects `count` clients.
    init(count: Int, to server: Server, trial: Trial) throws {
        self.trial = trial
        self.server = server
        try trial.needsDescriptors(count + 100)
        trial.note(say("\(count) clients connect", "\(count) 个客户端发起连接"))
        for _ in 0..<count {
            let descriptor = try closeOnExecSocket(server.address.family, SOCK_STREAM)
            members.append(Member(descriptor: descriptor, toSend: [], expected: []))
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            let result = server.address.withSockaddr { connect(descriptor, $0, $1) }
            guard result == 0 || errno == EINPROGRESS else {
                throw Failure(
                    expected: say(
                        "client \(members.count) of \(count) is accepted", "接受 \(count) 个客户端中的第 \(members.count) 个"),
                    got: errorText(errno))
            }
        }
    }

    deinit { for member in members where member.descriptor >= 0 { trial.closeAtTheEnd(member.descriptor) } }

    public var count: Int { members.count }

    /// Every client sends a message of its own and gets it back as `answer` makes it; all at the same time.
    ///
    /// - Parameter message: of client number `index`.
    public func exchange(
        within seconds: Double = 3 * Deadline.patience, answer: ([UInt8]) -> [UInt8] = uppercased,
        message: (_ index: Int) -> [UInt8]
    ) throws {
        for index in members.indices {
            members[index].toSend = message(index)
            members[index].expected = answer(members[index].toSend)
            members[index].sent = 0
            members[index].received = 0
        }
        trial.note(say("\(count) clients send at once", "\(count) 个客户端同时发送"))
        try run(until: Deadline(in: seconds))
        trial.note(say("\(count) clients have their answers", "\(count) 个客户端都收到了回答"))
    }

    private func run(until deadline: Deadline) throws {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var latest = deadline
        while true {
            var descriptors: [pollfd] = [
                pollfd(fd: server.subject.interruption.descriptor, events: Int16(POLLIN), revents: 0)
            ]
            var indices = [-1]
            for (index, member) in members.enumerated() {
                var events: Int32 = 0
                if member.sent < member.toSend.count { events |= Int32(POLLOUT) }
                if member.received < member.expected.count { events |= Int32(POLLIN) }
                guard events != 0 else { continue }
                descriptors.append(pollfd(fd: member.descriptor, events: Int16(events), revents: 0))
                indices.append(index)
            }
            let waiting = indices.count - 1
            if waiting == 0 { return }
            let expected = say("all \(count) clients are answered", "\(count) 个客户端全部得到回答")
            let ready = poll(&descriptors, nfds_t(descriptors.count), latest.milliseconds)
            if ready < 0 && errno == EINTR { continue }
            if ready == 0 && latest.hasPassed {
                latest = deadline.extended(by: server.subject.interruption.starved())
                if !latest.hasPassed { continue }
                throw Failure(
                    expected: expected,
                    got: say("\(waiting) of them still wait for bytes", "还有 \(waiting) 个在等数据"))
            }
            for (entry, index) in zip(descriptors, indices) where index >= 0 && entry.revents != 0 {
                try progress(index, Int32(entry.revents), &buffer)
            }
            if descriptors[0].revents != 0 && ready == 1 { throw ProgramEnded(expected: expected) }
        }
    }

    private func progress(_ index: Int, _ events: Int32, _ buffer: inout [UInt8]) throws {
        let descriptor = members[index].descriptor
        if events & Int32(POLLOUT) != 0 {
            let start = members[index].sent
            let count = members[index].toSend[start...].withUnsafeBytes {
                send(descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL)
            }
            if count > 0 { members[index].sent += count }
            if count < 0 && errno != EAGAIN && errno != EINTR { throw broken(index, errno) }
        }
        guard events & Int32(POLLIN | POLLHUP | POLLERR) != 0 else { return }
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
        guard count > 0 else { throw broken(index, count == 0 ? 0 : errno) }
        let start = members[index].received
        let got = Array(buffer.prefix(count))
        let expected = Array(members[index].expected.dropFirst(start).prefix(count))
        guard got == expected else {
            throw Failure(
                expected: say(
                    "\(quoted(expected)) to client \(index + 1)", "第 \(index + 1) 个客户端收到 \(quoted(expected))"),
                got: quoted(got), difference: byteDifference(expected: expected, got: got))
        }
        members[index].received += count
    }

    private func broken(_ index: Int, _ code: Int32) -> Failure {
        Failure(
            expected: say("client \(index + 1) of \(count) is answered", "\(count) 个客户端中的第 \(index + 1) 个得到回答"),
            got: code == 0 ? say("its connection was closed", "它的连接被关闭") : errorText(code))
    }
}

extension Server {
    /// `count` clients that are connected to it, or about to be.
    public func crowd(_ count: Int) throws -> Crowd { try Crowd(count: count, to: self, trial: trial) }
}
