import Course
import Sockets

func storeServer(host: String, port: UInt16) throws {
    let listener = try openListener(host, port)
    defer { close(listener) }
    let store = SharedStore()
    let crowd = Crowd()
    while true {
        crowd.waitForRoom()
        let client = accept(listener, nil, nil)
        if client < 0 {
            switch errno {
            case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: usleep(50_000)
            default: throw SocketError("accept", errno)
            }
            continue
        }
        crowd.begin {
            let exchange = Exchange(client)
            while let message = exchange.nextMessage() {
                let reply = message.status.map { StoreReply($0) } ?? store.reply(message)
                guard exchange.send(reply, to: message) else { break }
                if message.isLast {
                    exchange.waitForEnd()
                    break
                }
            }
            close(client)
        } otherwise: {
            close(client)
        }
    }
}

private func openListener(_ host: String, _ port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    var yes: Int32 = 1
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    let bound = address.withSockaddr { bind(listener, $0, $1) }
    if bound == 0 && listen(listener, SOMAXCONN) == 0 { return listener }
    let error = SocketError(bound == 0 ? "listen" : "bind", errno)
    close(listener)
    throw error
}

// MARK: - Threads

private final class Lock {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

    init() { pthread_mutex_init(mutex, nil) }

    func hold<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }
}

private final class Task {
    let run: () -> Void
    init(_ run: @escaping () -> Void) { self.run = run }
}

private final class Crowd {
    private let lock = Lock()
    private var count = 0
    private let most: Int

    init() {
        let descriptors = sysconf(Int32(_SC_OPEN_MAX))
        most = descriptors < 0 ? 600 : max(1, min(600, descriptors - 20))
    }

    func waitForRoom() {
        while lock.hold({ count >= most }) { usleep(5_000) }
    }

    /// Does something in a thread of its own, or the other thing at once.
    func begin(_ work: @escaping () -> Void, otherwise: () -> Void) {
        lock.hold { count += 1 }
        let task = Unmanaged.passRetained(
            Task {
                work()
                self.lock.hold { self.count -= 1 }
            })
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            {
                Unmanaged<Task>.fromOpaque($0!).takeRetainedValue().run()
                return nil
            }, task.toOpaque())
        if failed == 0 {
            pthread_detach(thread)
        } else {
            task.release()
            lock.hold { count -= 1 }
            otherwise()
        }
    }
}

// MARK: - Messages

private struct Message {
    var head: RequestHead?
    var body: [UInt8] = []
    /// What it is refused with.
    var status: Int?
    var isLast = false
}

private struct StoreReply {
    var status: Int
    var fields: [HTTPField] = []
    var content: [UInt8] = []

    init(_ status: Int, _ fields: [HTTPField] = [], _ content: [UInt8] = []) {
        (self.status, self.fields, self.content) = (status, fields, content)
    }
}

private func clockTime() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

/// Requests in, answers out: the bytes of one connection.
private final class Exchange {
    private let client: Int32
    private var decoder = HTTPRequestDecoder(limits: RequestLimits())

    init(_ client: Int32) {
        self.client = client
        var yes: Int32 = 1
        setsockopt(client, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The next request, with its body; nil if there is none any more.
    func nextMessage() -> Message? {
        var message = Message()
        var deadline = clockTime() + Lesson08.clientTimeout
        do {
            while true {
                while let event = try decoder.next() {
                    switch event {
                    case .head(let head):
                        message.head = head
                        message.isLast = head.minorVersion == 0 || head.fields.elements("Connection").contains("close")
                        if head.minorVersion > 0 && head.fields.elements("Expect").contains("100-continue") {
                            guard send(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)) else { return nil }
                        }
                        deadline = clockTime() + Lesson08.clientTimeout
                    case .body(let bytes):
                        message.body += bytes
                    case .end:
                        return message
                    }
                }
                guard let bytes = receive(until: deadline) else { break }
                decoder.feed(bytes)
                if message.head != nil { deadline = clockTime() + Lesson08.clientTimeout }
            }
        } catch {
            return Message(status: (error as? RequestRefused)?.status ?? 400, isLast: true)
        }
        // Nothing more comes, or not in time. What was asked until now is answered, and that is the last answer.
        guard message.head != nil else { return nil }
        message.isLast = true
        return message
    }

    func send(_ reply: StoreReply, to message: Message) -> Bool {
        var lines = "HTTP/1.1 \(reply.status) \(Reply.reason(of: reply.status))\r\n"
        lines += "Date: \(httpDate(time(nil)))\r\n"
        for field in reply.fields { lines += field.name + ": " + field.value + "\r\n" }
        if reply.status != 204 { lines += "Content-Length: \(reply.content.count)\r\n" }
        if message.isLast { lines += "Connection: close\r\n" }
        let head = Array((lines + "\r\n").utf8)
        return send(message.head?.method == "HEAD" ? head : head + reply.content)
    }

    // MARK: Bytes

    private func waitUntilReady(_ events: Int32, _ deadline: Int) -> Bool {
        var count: Int32 = 0
        repeat {
            var entry = pollfd(fd: client, events: Int16(events), revents: 0)
            count = poll(&entry, 1, Int32(clamping: max(0, deadline - clockTime())))
        } while count < 0 && errno == EINTR
        return count > 0
    }

    /// - Returns: nil at the end, after an error, or when the time is over.
    private func receive(until deadline: Int) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while clockTime() < deadline, waitUntilReady(Int32(POLLIN), deadline) {
            let count = recv(client, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { return Array(buffer.prefix(count)) }
            if count == 0 || errno != EINTR && errno != EAGAIN { return nil }
        }
        return nil
    }

    private func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Sockets.send(client, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
            }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                guard waitUntilReady(Int32(POLLOUT), clockTime() + Lesson08.answerTimeout) else { return false }
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    func waitForEnd() {
        shutdown(client, Int32(SHUT_WR))
        let deadline = clockTime() + Lesson08.clientTimeout
        while receive(until: deadline) != nil {}
    }
}

// MARK: - The store

/// All of it under one lock, which is held for moments only.
private final class SharedStore {
    private let lock = Lock()
    private var items: [String: (type: String, bytes: [UInt8])] = [:]
    private var size = 0
    private var counter = 0

    func reply(_ message: Message) -> StoreReply {
        guard let head = message.head else { return StoreReply(400) }
        let allow = HTTPField("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")
        guard head.method != "OPTIONS" else { return StoreReply(204, [allow]) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(head.method) else { return StoreReply(405, [allow]) }
        guard let names = pathNames(target: head.target) else { return StoreReply(400) }
        let key = "/" + names.map { percentEncoded($0) }.joined(separator: "/")
        let type = head.fields["Content-Type"] ?? "application/octet-stream"
        return lock.hold {
            switch head.method {
            case "PUT":
                let wasThere = items[key] != nil
                return keep(type, message.body, key) ? StoreReply(wasThere ? 204 : 201) : StoreReply(507)
            case "POST":
                var place: String
                repeat {
                    counter += 1
                    place = key + (key == "/" ? "" : "/") + "item-\(counter)"
                } while items[place] != nil
                return keep(type, message.body, place)
                    ? StoreReply(201, [HTTPField("Location", place)]) : StoreReply(507)
            case "DELETE":
                guard let old = items.removeValue(forKey: key) else { return StoreReply(404) }
                size -= old.bytes.count
                return StoreReply(204)
            default:
                guard let item = items[key] else { return StoreReply(404) }
                return StoreReply(200, [HTTPField("Content-Type", item.type)], item.bytes)
            }
        }
    }

    private func keep(_ type: String, _ bytes: [UInt8], _ key: String) -> Bool {
        let sum = size + bytes.count - (items[key]?.bytes.count ?? 0)
        guard sum <= Lesson08.storeLimit else { return false }
        items[key] = (type, bytes)
        size = sum
        return true
    }
}
