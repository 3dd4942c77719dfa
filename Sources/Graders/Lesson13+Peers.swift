// What the checks of lesson 13 need from their peers.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension StreamPeer {
    /// The program has closed it. Where bytes lay unread that is a reset.
    ///
    /// - Parameter cause: the mistake, if it is still open.
    func expectClosed(else cause: String? = nil) throws {
        let sentence = say("the program closes \(name)", "程序关闭\(name)")
        switch try receive(64, until: Deadline(), expected: sentence) {
        case .end, .broken: return
        case .late: throw Failure(expected: sentence, got: say("it is still open", "它仍然开着"), cause: cause)
        case .bytes(let bytes): throw Failure(expected: sentence, got: quoted(bytes))
        }
    }

    #if os(Linux)
    /// The first byte of what TCP_INFO tells, tcp(7).
    private func tcpState() throws -> UInt8 {
        var state: UInt8 = 0
        var length = socklen_t(1)
        try check("getsockopt", getsockopt(descriptor, IPPROTO_TCP, Int32(TCP_INFO), &state, &length))
        return state
    }

    /// enum tcp_state of the kernel.
    private var tcpFinWait1: UInt8 { 4 }
    private var tcpClosed: UInt8 { 7 }
    #endif

    /// All that was sent lies in the program's kernel: a recv would get it.
    func waitUntilDelivered() throws {
        #if os(Linux)
        let deadline = Deadline()
        while true {
            var under: Int32 = 0
            // SIOCOUTQ, tcp(7): what the other side has not acknowledged yet.
            try check("ioctl", ioctl(descriptor, UInt(TIOCOUTQ), &under))
            // A program that has closed the connection gets nothing any more.
            if try under == 0 || tcpState() == tcpClosed { return }
            if deadline.hasPassed { throw LabError("loopback has not delivered \(under) bytes") }
            poll(nil, 0, 1)
        }
        #else
        throw Unavailable(say("only Linux tells what has been delivered", "只有 Linux 能告知数据是否送达"))
        #endif
    }

    /// The end of the stream lies in the program's kernel: a recv would return 0.
    func halfCloseAndWait() throws {
        halfClose()
        #if os(Linux)
        let deadline = Deadline()
        while true {
            // FIN-WAIT-1: our end was not acknowledged yet. Any other state is beyond that, one that the program's own end
            // has led to as well.
            if try tcpState() != tcpFinWait1 { return }
            if deadline.hasPassed { throw LabError("loopback has not delivered the end of a stream") }
            poll(nil, 0, 1)
        }
        #else
        throw Unavailable(say("only Linux tells what has been delivered", "只有 Linux 能告知数据是否送达"))
        #endif
    }

    /// The program's kernel knows that the connection is reset: its end of it is in no table any more.
    func resetAndWait() throws {
        #if os(Linux)
        let own: String
        let others: String
        do { (own, others) = try (port(by: getsockname), port(by: getpeername)) } catch let error as SocketError
            where error.code == ENOTCONN
        {
            // Both ends have closed: there is nothing left to be reset.
            return
        }
        reset()
        let deadline = Deadline()
        while true {
            let table = try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8)
            // The second column is the owner's address, the third the other's: 0100007F:1F90.
            let isThere = table.split(separator: "\n").contains { line in
                let columns = line.split(separator: " ")
                return columns.count > 2 && columns[1].hasSuffix(others) && columns[2].hasSuffix(own)
            }
            if !isThere { return }
            if deadline.hasPassed { throw LabError("loopback has not delivered a reset") }
            poll(nil, 0, 1)
        }
        #else
        throw Unavailable(say("only Linux tells what has been delivered", "只有 Linux 能告知数据是否送达"))
        #endif
    }

    #if os(Linux)
    /// The port of this end or the other, as /proc/net/tcp has it: `:1F90`.
    private func port(
        by ask: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) throws -> String {
        let (result, address) = SocketAddress.received { ask(descriptor, $0, $1) }
        try check("getsockname", result)
        let port = String(address?.port ?? 0, radix: 16, uppercase: true)
        return ":" + String(repeating: "0", count: 4 - port.count) + port
    }
    #endif
}

extension Trial {
    /// The socket on which this process sent is its caller's: whoever was lent it neither closes it nor ends its side.
    ///
    /// - Parameter closes: how often the caller, who is in the same process, has closed it.
    func expectLeftOpen(_ process: Subject, closes: Int = 0) throws {
        process.catchUp()
        let timeline = process.timeline
        guard let first = timeline.calls.firstIndex(where: \.isSend) else { return }
        let socket = timeline.calls[first].descriptor
        let ends = timeline.calls[first...].filter { $0.descriptor == socket && timeline.endsWhatWasLent($0) }
        guard ends.count > closes else { return }
        throw Failure(
            expected: say("the socket is left open: closing it is its owner's business", "套接字保持打开：关不关由它的主人决定"),
            got: ends[0].callText, cause: "ended-what-was-lent")
    }
}

/// A server of the grader's that answers each request of 8 bytes with the same bytes, the last one first. One thread for
/// all clients; it counts what a pool must not do.
final class ReversingServer: @unchecked Sendable {
    static let requestLength = 8

    let address: SocketAddress
    private let listener: Int32
    private let stopReader: Int32
    private let stopWriter: Int32
    private let changed = NSCondition()

    // Under `changed`:
    private var accepted = 0
    private var ended = 0
    private var requests = 0
    private var overlaps = 0
    private var mostOpen = 0
    private var isReleased: Bool
    private var isDone = false

    /// - Parameter holds: answers nothing until `release`.
    init(holds: Bool = false) throws {
        isReleased = !holds
        listener = try closeOnExecSocket(AF_INET, SOCK_STREAM)
        let any = try SocketAddress(host: "127.0.0.1", port: 0)
        try check("bind", any.withSockaddr { [listener] in bind(listener, $0, $1) })
        try check("listen", listen(listener, 128))
        address = try SocketAddress.local(of: listener)
        _ = fcntl(listener, F_SETFL, O_NONBLOCK)
        var ends: [Int32] = [-1, -1]
        try check("pipe", pipe(&ends))
        (stopReader, stopWriter) = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        try startThread { [self] in run() }
    }

    struct Counts {
        /// Connections that were made.
        var accepted: Int
        /// Connections that the program has ended.
        var ended: Int
        var requests: Int
        /// How often a second request came on a connection before the first one was answered.
        var overlaps: Int
        /// Connections that were open at the same time.
        var mostOpen: Int
    }

    var counts: Counts {
        changed.withLock {
            Counts(
                accepted: accepted, ended: ended, requests: requests, overlaps: overlaps, mostOpen: mostOpen)
        }
    }

    /// Waits until the counts are so.
    ///
    /// - Returns: false if they were not in time, or the program has ended.
    func wait(until deadline: Deadline = Deadline(), or subject: Subject, _ isSo: (Counts) -> Bool) -> Bool {
        while !isSo(counts) {
            if deadline.hasPassed || subject.hasEnded != nil { return isSo(counts) }
            changed.withLock { _ = changed.wait(until: Date(timeIntervalSinceNow: 0.02)) }
        }
        return true
    }

    func release() {
        changed.withLock { isReleased = true }
        wake()
    }

    /// To be called once.
    func stop() {
        close(stopWriter)
        changed.withLock { while !isDone { changed.wait() } }
        close(stopReader)
        close(listener)
    }

    private func wake() { _ = [0 as UInt8].withUnsafeBytes { write(stopWriter, $0.baseAddress, 1) } }

    private final class Client {
        let descriptor: Int32
        var received: [UInt8] = []
        init(_ descriptor: Int32) { self.descriptor = descriptor }
    }

    private func run() {
        var clients: [Client] = []
        defer {
            for client in clients { close(client.descriptor) }
            changed.withLock {
                isDone = true
                changed.broadcast()
            }
        }
        while true {
            let descriptors = [stopReader, listener] + clients.map(\.descriptor)
            var events = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            if poll(&events, nfds_t(events.count), -1) < 0 { continue }
            if events[0].revents != 0 {
                var byte: UInt8 = 0
                if read(stopReader, &byte, 1) == 0 { return }
                for client in clients { answer(client) }
            }
            for (client, event) in zip(clients, events.dropFirst(2)) where event.revents != 0 {
                guard receive(client) else {
                    close(client.descriptor)
                    clients.removeAll { $0 === client }
                    continue
                }
                answer(client)
            }
            if events[1].revents != 0 { accept(&clients) }
        }
    }

    private func accept(_ clients: inout [Client]) {
        let connection = acceptCloseOnExec(listener)
        guard connection >= 0 else { return }
        _ = fcntl(connection, F_SETFL, O_NONBLOCK)
        clients.append(Client(connection))
        changed.withLock {
            accepted += 1
            mostOpen = max(mostOpen, accepted - ended)
            changed.broadcast()
        }
    }

    /// - Returns: false if the connection is over.
    private func receive(_ client: Client) -> Bool {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = recv(client.descriptor, &buffer, buffer.count, 0)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return true }
        changed.withLock {
            if count > 0 {
                let before = client.received.count
                client.received += buffer[..<count]
                requests += client.received.count / Self.requestLength - before / Self.requestLength
                if client.received.count > Self.requestLength { overlaps += 1 }
            } else {
                ended += 1
            }
            changed.broadcast()
        }
        return count > 0
    }

    private func answer(_ client: Client) {
        guard changed.withLock({ isReleased }) else { return }
        while client.received.count >= Self.requestLength {
            let answer = Array(client.received.prefix(Self.requestLength).reversed())
            client.received.removeFirst(Self.requestLength)
            // So few bytes always fit in; a client that has gone is noticed by receiving.
            _ = answer.withUnsafeBytes { send(client.descriptor, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        }
    }
}
