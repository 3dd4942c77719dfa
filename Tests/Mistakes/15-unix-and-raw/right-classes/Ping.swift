import Course
import Foundation
import Sockets

func openPing(address: String) throws -> PingSocket {
    let there = try SocketAddress(host: address, port: 0)
    func opened(_ kind: Int32) throws -> Int32 {
        let descriptor = try check("socket", socket(AF_INET, kind, IPPROTO_ICMP))
        guard there.withSockaddr({ connect(descriptor, $0, $1) }) == 0 else {
            let error = SocketError("connect", errno)
            close(descriptor)
            throw error
        }
        return descriptor
    }
    if let descriptor = try? opened(SOCK_DGRAM) {
        do {
            return PingSocket(
                descriptor: descriptor, hasHeader: false, identifier: try SocketAddress.local(of: descriptor).port)
        } catch {
            close(descriptor)
            throw error
        }
    }
    return PingSocket(descriptor: try opened(SOCK_RAW), hasHeader: true, identifier: .random(in: 1 ... .max))
}

func clockTime() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

/// What is waited for: who asks, what is recognised.
protocol Question {
    associatedtype Answer
    var descriptor: Int32 { get }
    func send() -> Int
    func answer(in packet: [UInt8]) -> Answer?
}

extension Question {
    /// The answer, and how long it took; nil after the timeout.
    func ask(timeout: Milliseconds) throws -> (answer: Answer, time: UInt64)? {
        let started = clockTime()
        while send() < 0 { guard errno == EINTR else { throw SocketError("send", errno) } }
        let end = started + UInt64(max(0, timeout)) * 1_000_000
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { room.deallocate() }
        while true {
            let now = clockTime()
            guard now < end else { return nil }
            var place = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let ready = poll(&place, 1, Int32(clamping: (end - now + 999_999) / 1_000_000))
            if ready < 0 && errno != EINTR { throw SocketError("poll", errno) }
            if ready <= 0 { continue }
            let count = transfer(room.baseAddress!, room.count) { recvmsg(descriptor, $0, MSG_DONTWAIT) }
            let arrived = clockTime()
            if count < 0 {
                if errno == EINTR || errno == EAGAIN { continue }
                throw SocketError("recvmsg", errno)
            }
            if let answer = answer(in: Array(room[..<count])) { return (answer, arrived - started) }
        }
    }
}

private struct Echo: Question {
    let socket: PingSocket
    let sequence: UInt16
    let request: [UInt8]
    var descriptor: Int32 { socket.descriptor }

    init(_ socket: PingSocket, _ sequence: UInt16) {
        (self.socket, self.sequence) = (socket, sequence)
        request = echoRequest(identifier: socket.identifier, sequence: sequence, payload: Array("\(sequence)".utf8))
    }
    func send() -> Int { Sockets.send(descriptor, request, request.count, MSG_NOSIGNAL) }
    func answer(in packet: [UInt8]) -> EchoReply? {
        guard let reply = try? parseEchoReply(packet, hasHeader: socket.hasHeader) else { return nil }
        return reply.identifier == socket.identifier && reply.sequence == sequence ? reply : nil
    }
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var times: [UInt64?] = []
    while times.count < count {
        let echo = Echo(socket, UInt16(truncatingIfNeeded: times.count + 1))
        times.append(try echo.ask(timeout: timeout)?.time)
    }
    return times
}
