// What checks compare, and servers on a port of their choice.
import Course
import Sockets
import Wire

extension Trial {
    /// - Parameter what: completes "expected …": the port it serves.
    public func expect<Content: Equatable>(
        _ got: Content, equals expected: Content, _ what: String, cause: String? = nil, detail: String? = nil
    ) throws {
        guard got != expected else { return }
        throw Failure(
            expected: say("\(what): \(expected)", "\(what)：\(expected)"), got: "\(got)", cause: cause, detail: detail)
    }

    public func expect(
        _ got: [UInt8], equals expected: [UInt8], _ what: String, cause: String? = nil, detail: String? = nil
    ) throws {
        guard got != expected else { return }
        throw Failure(
            expected: say("\(what): \(hexText(expected))", "\(what)：\(hexText(expected))"), got: Value.bytes(got).text,
            difference: byteDifference(expected: expected, got: got), cause: cause, detail: detail)
    }

    /// Each list that getaddrinfo made in this process has gone back to freeaddrinfo.
    public func expectListsFreed(_ subject: Subject) throws {
        let timeline = subject.timeline
        let made = timeline.calls("getaddrinfo").filter { $0.returned != nil && $0.result == 0 }.map(\.arguments.0)
        // From its beginning: nobody finds the rest of a list that is given back from its middle, or from its end.
        var left = made
        for list in timeline.calls("freeaddrinfo").map(\.arguments.0) {
            if let index = left.firstIndex(of: list) { left.remove(at: index) }
        }
        guard !left.isEmpty else { return }
        throw Failure(
            expected: say(
                "each list that getaddrinfo made goes back to freeaddrinfo: \(made.count)",
                "getaddrinfo 给出的每个链表都交还 freeaddrinfo：\(made.count) 个"),
            got: say("\(made.count - left.count) went back", "还了 \(made.count - left.count) 个"), cause: "list-not-freed"
        )
    }

    /// Starts a server on a port that the check chose, free a moment ago. Should somebody take it first, another is
    /// tried: the tap shows that `bind` found it in use.
    public func serveOnChosenPort(_ entry: String, _ type: Int32, host: String = "127.0.0.1") throws -> (Server, UInt16)
    {
        for _ in 0..<5 {
            let port = try freePort(type, host: host)
            do {
                return (try serve(entry, host: host, port: port), port)
            } catch {
                let binds = subjects.last?.timeline.calls("bind") ?? []
                guard binds.contains(where: { $0.error == EADDRINUSE && $0.given?.port == port }) else { throw error }
            }
        }
        throw LabError(say("every port that was tried is in use", "试过的端口都被占用"))
    }

    /// Outside the range that the kernel hands out by itself, so that only a server on a fixed port could have it.
    public func freePort(_ type: Int32, host: String = "127.0.0.1") throws -> UInt16 {
        for _ in 0..<200 {
            let port = UInt16.random(in: 10_000...30_000)
            // Equal bytes would hide a wrong byte order, and a port below 1024 needs permission.
            if port.byteSwapped == port || port.byteSwapped < 1024 { continue }
            let address = try SocketAddress(host: host, port: port)
            let descriptor = try closeOnExecSocket(address.family, type)
            defer { close(descriptor) }
            if address.withSockaddr({ bind(descriptor, $0, $1) }) == 0 { return port }
        }
        throw LabError(say("no free port between 10000 and 30000", "10000 到 30000 之间没有空闲端口"))
    }

    /// Skips the check on a machine that has no such loopback address (`::1` with IPv6 turned off).
    public func needsLoopback(_ host: String) throws {
        let address = try SocketAddress(host: host, port: 0)
        let descriptor = socket(address.family, SOCK_DGRAM, 0)
        defer { if descriptor >= 0 { close(descriptor) } }
        guard descriptor >= 0, address.withSockaddr({ bind(descriptor, $0, $1) }) == 0 else {
            throw Unavailable(
                say("this machine has no \(host): \(errorText(errno))", "这台机器没有 \(host)：\(errorText(errno))"))
        }
    }

    /// The limit for a program that serves so many clients at once: `each` descriptors a client, or as many as this machine
    /// permits. Skips the check where that is less than one a client.
    public func descriptors(for clients: Int, each: Int) throws -> Int {
        try needsDescriptors(clients + 100)
        return min(each * clients + 100, Int(clamping: mostDescriptors))
    }

    /// Skips the check on a machine that does not permit so many open descriptors (setrlimit(2), RLIMIT_NOFILE).
    public func needsDescriptors(_ count: Int) throws {
        guard mostDescriptors >= UInt(count) else {
            throw Unavailable(
                say(
                    "it needs \(count) open descriptors, and `ulimit -Hn` permits \(mostDescriptors)",
                    "需要打开 \(count) 个描述符，而 `ulimit -Hn` 只允许 \(mostDescriptors) 个"))
        }
    }
}
