import Course
import Dispatch
import Solution08
import Sockets

/// What all threads share: the clients' descriptors, and how many threads there are.
private struct Shared {
    var mutex = pthread_mutex_t()
    var ended = pthread_cond_t()
    var clients: [Int32] = []
}

private final class Job {
    let client: Int32
    let run: (Int32) -> Void
    init(_ client: Int32, _ run: @escaping (Int32) -> Void) { (self.client, self.run) = (client, run) }
}

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let pollIn = Int16(POLLIN)
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    do {
        var on: Int32 = 1
        try check(
            "setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", listen(listener, SOMAXCONN))
    } catch {
        close(listener)
        throw error
    }

    let shared = UnsafeMutablePointer<Shared>.allocate(capacity: 1)
    shared.initialize(to: Shared())
    pthread_mutex_init(&shared.pointee.mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(&shared.pointee.ended, &attributes)
    pthread_condattr_destroy(&attributes)

    let serve: (Int32) -> Void = { client in
        converse(client, name: name, stop: stop)
        pthread_mutex_lock(&shared.pointee.mutex)
        shared.pointee.clients.removeAll { $0 == client }
        close(client)
        pthread_cond_broadcast(&shared.pointee.ended)
        pthread_mutex_unlock(&shared.pointee.mutex)
    }

    /// 1: somebody was taken, or may be there still; 0: nobody; -1: the listener is broken.
    func takeOne() -> Int {
        let (client, _) = SocketAddress.received { accept4(listener, $0, $1, SOCK_CLOEXEC) }
        if client < 0 {
            switch errno {
            case EAGAIN: return 0
            case EBADF, EINVAL, ENOTSOCK, EFAULT: return -1
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: poll(nil, 0, 50)
            default: break
            }
            return 1
        }
        pthread_mutex_lock(&shared.pointee.mutex)
        shared.pointee.clients.append(client)
        pthread_mutex_unlock(&shared.pointee.mutex)
        let job = Unmanaged.passRetained(Job(client, serve))
        var thread = pthread_t()
        let failure = pthread_create(
            &thread, nil,
            { argument in
                let job = Unmanaged<Job>.fromOpaque(argument!).takeRetainedValue()
                job.run(job.client)
                return nil
            }, job.toOpaque())
        if failure == 0 {
            pthread_detach(thread)
        } else {
            job.release()
            pthread_mutex_lock(&shared.pointee.mutex)
            shared.pointee.clients.removeAll { $0 == client }
            close(client)
            pthread_mutex_unlock(&shared.pointee.mutex)
        }
        return 1
    }

    var broken: SocketError?
    while broken == nil {
        var both = [pollfd(fd: listener, events: pollIn, revents: 0), pollfd(fd: stop, events: pollIn, revents: 0)]
        if poll(&both, 2, -1) < 0 {
            if errno != EINTR { broken = SocketError("poll", errno) }
            continue
        }
        if both[0].revents != 0 && takeOne() < 0 { broken = SocketError("accept", errno) }
        if both[1].revents != 0 { break }
    }
    let queueEnd = DispatchTime.now() + .seconds(1)
    while broken == nil && DispatchTime.now() < queueEnd && takeOne() > 0 {}
    close(listener)
    if let broken { throw broken }

    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    end.tv_sec += Lesson16.stopPatience / 1000
    pthread_mutex_lock(&shared.pointee.mutex)
    while !shared.pointee.clients.isEmpty {
        if pthread_cond_timedwait(&shared.pointee.ended, &shared.pointee.mutex, &end) == ETIMEDOUT { break }
    }
    for client in shared.pointee.clients { shutdown(client, SHUT_RDWR) }
    while !shared.pointee.clients.isEmpty { pthread_cond_wait(&shared.pointee.ended, &shared.pointee.mutex) }
    pthread_mutex_unlock(&shared.pointee.mutex)
    // Not destroyed: the last thread may still be on its way out of unlock.
}

private func converse(_ client: Int32, name: String, stop: Int32) {
    let size = 65_536
    let raw = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 1)
    defer { raw.deallocate() }
    let pollIn = Int16(POLLIN)
    let peer = (try? SocketAddress.peer(of: client))?.host ?? ""
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var head: RequestHead?
    var body: [UInt8] = []
    var hasBegun = false
    var isOver = false

    func stopIsHere() -> Bool {
        var one = pollfd(fd: stop, events: pollIn, revents: 0)
        while true {
            let count = poll(&one, 1, 0)
            if count >= 0 { return count > 0 }
            if errno != EINTR { return true }
        }
    }

    func put(_ status: String, _ content: [UInt8], close: Bool, omit: Bool = false) -> Bool {
        let lines = ["HTTP/1.1 \(status)", "Content-Length: \(content.count)"] + (close ? ["Connection: close"] : [])
        let all = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + (omit ? [] : content)
        var from = 0
        while from < all.count {
            let count = all.withUnsafeBytes { send(client, $0.baseAddress! + from, $0.count - from, MSG_NOSIGNAL) }
            if count < 0 {
                if errno == EINTR { continue }
                return false
            }
            from += count
        }
        return true
    }

    talking: while !isOver {
        if !hasBegun {
            var both = [pollfd(fd: client, events: pollIn, revents: 0), pollfd(fd: stop, events: pollIn, revents: 0)]
            if poll(&both, 2, -1) < 0 {
                if errno == EINTR { continue }
                return
            }
            if both[1].revents != 0 { break talking }
        }
        let count = recv(client, raw, size, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        let bytes = UnsafeRawBufferPointer(start: raw, count: count)
        // In two portions, the second of one byte: after it we know whether something is left in the decoder.
        var portions = [Array(bytes.dropLast()), Array(bytes.suffix(1))]
        do {
            while !portions.isEmpty {
                decoder.feed(portions.removeFirst())
                hasBegun = true
                while let event = try decoder.next() {
                    switch event {
                    case .head(let it):
                        head = it
                        body.removeAll(keepingCapacity: true)
                    case .body(let piece): body.append(contentsOf: piece)
                    case .end:
                        guard let asked = head else { return }
                        hasBegun = false
                        let stopping = stopIsHere()
                        var closing = stopping || asked.minorVersion == 0
                        for field in asked.fields where field.name.lowercased() == "connection" {
                            for option in field.value.lowercased().split(separator: ",") {
                                if option.drop(while: { $0 == " " || $0 == "\t" }).prefix(while: {
                                    $0 != " " && $0 != "\t"
                                })
                                    == "close"
                                {
                                    closing = true
                                }
                            }
                        }
                        var status = "200 OK"
                        var content: [UInt8]
                        let path = asked.target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)[0]
                        if asked.method == "GET" && path == "/" {
                            let from = forwardedClient(peer: peer, fields: asked.fields, trust: Lesson16.trust)
                            content = Array("\(name) \(from.address) \(from.scheme)\n".utf8)
                        } else if asked.method == "GET" && path == "/health" {
                            content = Array("ok\n".utf8)
                            if stopping { (status, content) = ("503 Service Unavailable", Array("stopping\n".utf8)) }
                        } else if asked.method == "POST" && path == "/upper" {
                            content = body.map { $0 >= 97 && $0 <= 122 ? $0 & 0xDF : $0 }
                        } else {
                            (status, content) = ("404 Not Found", Array("not found\n".utf8))
                        }
                        guard put(status, content, close: closing, omit: asked.method == "HEAD") else { return }
                        if closing {
                            isOver = true
                            continue talking
                        }
                    }
                }
            }
        } catch {
            guard put("\((error as? RequestRefused)?.status ?? 400) Refused", Array("refused\n".utf8), close: true)
            else { return }
            isOver = true
        }
    }

    // Gently: the end of ours first, then theirs, for at most two seconds.
    shutdown(client, SHUT_WR)
    let end = DispatchTime.now().uptimeNanoseconds + 2_000_000_000
    while true {
        let now = DispatchTime.now().uptimeNanoseconds
        if now >= end { return }
        var one = pollfd(fd: client, events: pollIn, revents: 0)
        let count = poll(&one, 1, Int32((end - now + 999_999) / 1_000_000))
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        let got = recv(client, raw, size, 0)
        if got == 0 || got < 0 && errno != EINTR { return }
    }
}
