import Course
import Sockets

func openPing(address: String) throws -> PingSocket {
    let destination = try SocketAddress(host: address, port: 0)
    if destination.family != AF_INET {
        throw SocketError("openPing", EAFNOSUPPORT)
    }

    // The one without privilege.
    let unprivileged = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)
    if unprivileged != -1 {
        let connected = destination.withSockaddr { connect(unprivileged, $0, $1) }
        if connected == -1 {
            let code = errno
            close(unprivileged)
            throw SocketError("connect", code)
        }
        do {
            let name = try SocketAddress.local(of: unprivileged)
            return PingSocket(descriptor: unprivileged, hasHeader: false, identifier: name.port)
        } catch {
            close(unprivileged)
            throw error
        }
    }

    // The one for root.
    let raw = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)
    if raw == -1 {
        throw SocketError("socket", errno)
    }
    let connected = destination.withSockaddr { connect(raw, $0, $1) }
    if connected == -1 {
        let code = errno
        close(raw)
        throw SocketError("connect", code)
    }
    let identifier = UInt16(truncatingIfNeeded: nanoseconds() / 1000)
    return PingSocket(descriptor: raw, hasHeader: true, identifier: identifier)
}

func ping(_ socket: PingSocket, count: Int, timeout: Milliseconds) throws -> [UInt64?] {
    var limit: UInt64 = 0
    if timeout > 0 {
        limit = UInt64(timeout) * 1_000_000
    }
    var times: [UInt64?] = []
    var number = 1
    while number <= count {
        let sequence = UInt16(truncatingIfNeeded: number)
        let payload = [UInt8](repeating: 0x21, count: 33)
        let request = echoRequest(identifier: socket.identifier, sequence: sequence, payload: payload)
        let started = nanoseconds()
        while true {
            let sent = send(socket.descriptor, request, request.count, MSG_NOSIGNAL)
            if sent >= 0 {
                break
            }
            let code = errno
            if code != EINTR {
                throw SocketError("send", code)
            }
        }

        var time: UInt64? = nil
        while time == nil {
            let (packet, arrived) = try nextPacket(socket.descriptor, started, limit)
            guard let packet else {
                break
            }
            var reply: EchoReply? = nil
            do {
                reply = try parseEchoReply(packet, hasHeader: socket.hasHeader)
            } catch {
                reply = nil
            }
            if let reply {
                if reply.identifier == socket.identifier {
                    if reply.sequence == sequence {
                        time = arrived - started
                    }
                }
            }
        }
        times.append(time)
        number += 1
    }
    return times
}

/// The next packet and when it came; nil when so much time has passed since the start. It looks every few milliseconds.
func nextPacket(_ socket: Int32, _ started: UInt64, _ limit: UInt64) throws -> ([UInt8]?, UInt64) {
    var room = [UInt8](repeating: 0, count: 70_000)
    while true {
        let passed = nanoseconds() - started
        if passed >= limit {
            return (nil, 0)
        }
        // At most five milliseconds, and not beyond the end.
        let left = (limit - passed + 999_999) / 1_000_000
        if try isReady(socket, Int32(POLLIN), milliseconds: Int32(min(left, 5))) {
            let count = recv(socket, &room, room.count, MSG_DONTWAIT)
            let code = errno
            let now = nanoseconds()
            if count >= 0 {
                return (Array(room[0..<count]), now)
            }
            if code != EINTR && code != EAGAIN {
                throw SocketError("recv", code)
            }
        }
    }
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let seconds = UInt64(time.tv_sec)
    let rest = UInt64(time.tv_nsec)
    return seconds * 1_000_000_000 + rest
}
