// One thread and epoll(7), edge-triggered. Each peer is a little machine: `step` does one thing and says whether there is more
// to do. Head and small content go out in one sendmsg(2), large files by sendfile(2).
import Course
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    let top = try check("open(\(root))", open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    try EdgeLoop(host: host, port: port, keepsBodies: false) { head, _ in fileOutcome(head, below: top) }.run()
}

/// What is said to one request.
struct Outcome {
    var status: Int
    var fields: [(name: String, value: String)] = []
    var bytes: [UInt8] = []
    /// In place of `bytes`: a part of a file. The descriptor is the loop's from here on.
    var part: (descriptor: Int32, offset: Int, count: Int)?
    /// In place of both their lengths, for nobody but HEAD.
    var length: Int?

    static func text(_ status: Int, _ fields: [(name: String, value: String)] = []) -> Outcome {
        Outcome(
            status: status, fields: fields + [("Content-Type", "text/plain; charset=utf-8")],
            bytes: Array("\(status)\r\n".utf8))
    }
}

// MARK: The loop

private final class Peer {
    let descriptor: Int32
    var decoder = HTTPRequestDecoder(limits: RequestLimits())
    var head: RequestHead?
    var body: [UInt8] = []

    var first: [UInt8] = []
    var second: [UInt8] = []
    var sent = 0
    var part: (descriptor: Int32, offset: Int, count: Int)?

    var canRead = false
    var canWrite = true
    var hasEnded = false
    var mode = Mode.talking
    var deadline = 0
    var isReady = false

    enum Mode { case talking, lastAnswer, draining }

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit {
        if let part { close(part.descriptor) }
        close(descriptor)
    }

    var hasOutput: Bool { sent < first.count + second.count || part != nil }
}

private func clock() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int(time.tv_sec) * 1000 + Int(time.tv_nsec) / 1_000_000
}

final class EdgeLoop {
    private let listener: Int32
    private let epoll: Int32
    private let keepsBodies: Bool
    private let outcome: (RequestHead, [UInt8]) -> Outcome
    private var peers: [Int32: Peer] = [:]
    private let mostPeers: Int
    private var isListening = true
    private var now = clock()
    /// No deadline is before this.
    private var nextCheck = Int.max
    /// Those who could go on, but others had to have their turn.
    private var ready: [Peer] = []
    private var buffer = [UInt8](repeating: 0, count: 32_768)

    init(host: String, port: UInt16, keepsBodies: Bool, outcome: @escaping (RequestHead, [UInt8]) -> Outcome) throws {
        // sendfile(2) has no MSG_NOSIGNAL.
        signal(SIGPIPE, SIG_IGN)
        let address = try SocketAddress(host: host, port: port)
        let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
        do {
            var one: Int32 = 1
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(4)))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("listen", listen(listener, SOMAXCONN))
            epoll = try check("epoll_create1", epoll_create1(Int32(EPOLL_CLOEXEC)))
        } catch {
            close(listener)
            throw error
        }
        self.listener = listener
        (self.keepsBodies, self.outcome) = (keepsBodies, outcome)
        let most = sysconf(Int32(_SC_OPEN_MAX))
        mostPeers = most < 0 ? .max : max(1, (most - 16) / 2)
        // The listener stays level-triggered: who is not accepted now is announced again.
        var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: listener))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
    }

    func run() throws -> Never {
        var events = [epoll_event](repeating: epoll_event(), count: 128)
        while true {
            let count = epoll_wait(epoll, &events, 128, timeout)
            if count < 0 && errno != EINTR { throw SocketError("epoll_wait", errno) }
            now = clock()
            var someoneWaits = !isListening
            for event in events.prefix(max(0, Int(count))) {
                if event.data.fd == listener {
                    someoneWaits = true
                    continue
                }
                guard let peer = peers[event.data.fd] else { continue }
                let broken = event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
                if broken || event.events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { peer.canRead = true }
                if broken || event.events & EPOLLOUT.rawValue != 0 { peer.canWrite = true }
                enqueue(peer)
            }
            let turn = ready
            ready = []
            for peer in turn {
                peer.isReady = false
                if peers[peer.descriptor] === peer { advance(peer) }
            }
            if now >= nextCheck { dropTheLate() }
            if someoneWaits { try acceptAll() }
        }
    }

    private var timeout: Int32 {
        if !ready.isEmpty { return 0 }
        let untilCheck = nextCheck == .max ? -1 : max(0, nextCheck - clock())
        if isListening { return Int32(clamping: untilCheck) }
        return Int32(clamping: untilCheck < 0 ? 100 : min(untilCheck, 100))
    }

    private func enqueue(_ peer: Peer) {
        if peer.isReady { return }
        peer.isReady = true
        ready.append(peer)
    }

    private func acceptAll() throws {
        while peers.count < mostPeers {
            let descriptor = accept4(listener, nil, nil, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if descriptor < 0 {
                switch errno {
                case EAGAIN: return try listenOn(true)
                case EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH: continue
                case EMFILE, ENFILE, ENOBUFS, ENOMEM: return try listenOn(false)
                default: throw SocketError("accept4", errno)
                }
            }
            let peer = Peer(descriptor)
            var one: Int32 = 1
            setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, socklen_t(4))
            let mask = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
            var event = epoll_event(events: mask, data: epoll_data_t(fd: descriptor))
            guard epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0 else { continue }
            peers[descriptor] = peer
            setDeadline(peer, Lesson08.clientTimeout)
        }
        try listenOn(false)
    }

    private func listenOn(_ on: Bool) throws {
        guard on != isListening else { return }
        isListening = on
        var event = epoll_event(events: on ? EPOLLIN.rawValue : 0, data: epoll_data_t(fd: listener))
        try check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_MOD, listener, &event))
    }

    // MARK: Time

    private func setDeadline(_ peer: Peer, _ patience: Milliseconds) {
        peer.deadline = now + patience
        nextCheck = min(nextCheck, peer.deadline)
    }

    private func dropTheLate() {
        for peer in peers.values where peer.deadline <= now {
            if peer.hasOutput {
                var abort = linger(l_onoff: 1, l_linger: 0)
                setsockopt(peer.descriptor, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
            }
            peers[peer.descriptor] = nil
        }
        nextCheck = peers.values.map(\.deadline).min() ?? .max
    }

    // MARK: A peer

    private enum Step { case more, blocked, gone }

    private func advance(_ peer: Peer) {
        for _ in 0..<24 {
            switch step(peer) {
            case .more: continue
            case .blocked: return
            case .gone:
                peers[peer.descriptor] = nil
                return
            }
        }
        enqueue(peer)
    }

    private func step(_ peer: Peer) -> Step {
        if peer.hasOutput { return peer.canWrite ? push(peer) : .blocked }
        switch peer.mode {
        case .lastAnswer:
            if peer.hasEnded || shutdown(peer.descriptor, SHUT_WR) < 0 { return .gone }
            peer.mode = .draining
            setDeadline(peer, 2000)
            return .more
        case .draining: return pull(peer)
        case .talking:
            do {
                if let event = try peer.decoder.next() {
                    handle(event, peer)
                    return .more
                }
            } catch {
                peer.mode = .lastAnswer
                say(.text((error as? RequestRefused)?.status ?? 400), peer, method: "GET", isOld: false)
                return .more
            }
            return peer.hasEnded ? .gone : pull(peer)
        }
    }

    private func pull(_ peer: Peer) -> Step {
        guard peer.canRead else { return .blocked }
        let count = recv(peer.descriptor, &buffer, buffer.count, 0)
        if count > 0 {
            if peer.mode == .talking {
                if peer.decoder.isInBody { setDeadline(peer, Lesson08.clientTimeout) }
                peer.decoder.feed(Array(buffer[..<count]))
            }
            return .more
        }
        if count == 0 {
            peer.hasEnded = true
            return peer.mode == .draining ? .gone : .more
        }
        if errno == EINTR { return .more }
        guard errno == EAGAIN else { return .gone }
        peer.canRead = false
        return .blocked
    }

    private func handle(_ event: RequestEvent, _ peer: Peer) {
        switch event {
        case .head(let head):
            peer.head = head
            setDeadline(peer, Lesson08.clientTimeout)
            if head.minorVersion > 0 && head.fields.elements("Expect").contains("100-continue") {
                peer.first = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
                setDeadline(peer, Lesson08.answerTimeout)
            }
        case .body(let bytes): if keepsBodies { peer.body += bytes }
        case .end:
            guard let head = peer.head else { return }
            let options = head.fields.elements("Connection")
            let isOld = head.minorVersion == 0
            if options.contains("close") || isOld && !options.contains("keep-alive") { peer.mode = .lastAnswer }
            say(outcome(head, peer.body), peer, method: head.method, isOld: isOld)
            (peer.head, peer.body) = (nil, [])
        }
    }

    private func say(_ outcome: Outcome, _ peer: Peer, method: String, isOld: Bool) {
        var lines = ["HTTP/1.1 \(outcome.status) -", "Date: \(httpDate(time(nil)))"]
        for field in outcome.fields { lines.append("\(field.name): \(field.value)") }
        if outcome.status != 204 && outcome.status != 304 {
            lines.append("Content-Length: \(outcome.part?.count ?? outcome.bytes.count)")
        }
        if peer.mode == .lastAnswer {
            lines.append("Connection: close")
        } else if isOld {
            lines.append("Connection: keep-alive")
        }
        peer.first = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        (peer.second, peer.sent) = ([], 0)
        if method == "HEAD" {
            if let part = outcome.part { close(part.descriptor) }
        } else {
            peer.second = outcome.bytes
            peer.part = outcome.part
            if let part = peer.part, part.count <= 16_384 { readWhole(part, peer) }
        }
        setDeadline(peer, Lesson08.answerTimeout)
    }

    /// A small file goes out with its head.
    private func readWhole(_ part: (descriptor: Int32, offset: Int, count: Int), _ peer: Peer) {
        var got = 0
        var bytes = [UInt8](repeating: 0, count: part.count)
        while got < part.count {
            let count = bytes[got...].withUnsafeMutableBytes {
                pread(part.descriptor, $0.baseAddress, $0.count, off_t(part.offset + got))
            }
            if count < 0 && errno == EINTR { continue }
            // Shorter than announced: sendfile will see the same, and end the connection.
            if count <= 0 { return }
            got += count
        }
        peer.second = bytes
        peer.part = nil
        close(part.descriptor)
    }

    private func push(_ peer: Peer) -> Step {
        let inMemory = peer.first.count + peer.second.count
        var count = 0
        if peer.sent < inMemory {
            // More follows: the kernel may fill the packet up with the beginning of the file.
            let flags: Int32 = peer.part == nil ? MSG_NOSIGNAL : MSG_NOSIGNAL | MSG_MORE
            count = peer.first.withUnsafeBytes { first in
                peer.second.withUnsafeBytes { second in
                    let a = UnsafeRawBufferPointer(rebasing: first.dropFirst(peer.sent))
                    let b = UnsafeRawBufferPointer(rebasing: second.dropFirst(max(0, peer.sent - first.count)))
                    var vectors = [
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: a.baseAddress), iov_len: a.count),
                        iovec(iov_base: UnsafeMutableRawPointer(mutating: b.baseAddress), iov_len: b.count),
                    ]
                    return vectors.withUnsafeMutableBufferPointer {
                        var message = msghdr()
                        message.msg_iov = $0.baseAddress
                        message.msg_iovlen = 2
                        return sendmsg(peer.descriptor, &message, flags)
                    }
                }
            }
            if count > 0 { peer.sent += count }
        } else if let part = peer.part {
            var offset = off_t(part.offset)
            count = sendfile(peer.descriptor, part.descriptor, &offset, min(part.count, 65_536))
            // The file has become shorter than was promised.
            if count == 0 { return .gone }
            if count > 0 {
                peer.part = (part.descriptor, part.offset + count, part.count - count)
                if part.count == count {
                    close(part.descriptor)
                    peer.part = nil
                }
            }
        }
        if count < 0 {
            if errno == EINTR { return .more }
            guard errno == EAGAIN else { return .gone }
            peer.canWrite = false
            return .blocked
        }
        if peer.hasOutput {
            setDeadline(peer, Lesson08.answerTimeout)
        } else {
            (peer.first, peer.second, peer.sent) = ([], [], 0)
            setDeadline(peer, Lesson08.clientTimeout)
        }
        return .more
    }
}

// MARK: Files

private func fileOutcome(_ head: RequestHead, below top: Int32) -> Outcome {
    let allow = (name: "Allow", value: "GET, HEAD, OPTIONS")
    switch head.method {
    case "GET", "HEAD": break
    case "OPTIONS": return Outcome(status: 200, fields: [allow])
    default: return .text(405, [allow])
    }
    guard var names = pathNames(target: head.target), let path = path(of: head.target) else { return .text(400) }
    let isFolder = path.isEmpty || path.last == UInt8(ascii: "/")
    var (descriptor, status) = opened(names, below: top)
    if descriptor >= 0 && status.st_mode & S_IFMT == S_IFDIR {
        close(descriptor)
        if !isFolder {
            return .text(308, [("Location", "/" + names.map { percentEncoded($0) + "/" }.joined())])
        }
        names.append("index.html")
        (descriptor, status) = opened(names, below: top)
    } else if descriptor >= 0 && isFolder {
        close(descriptor)
        return .text(404)
    }
    guard descriptor >= 0 else { return .text(404) }
    guard status.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        return .text(404)
    }

    let size = Int(status.st_size)
    let changed = min(modificationTime(status), time(nil))
    var outcome = Outcome(status: 200)
    outcome.fields = [("Last-Modified", httpDate(changed)), ("Content-Type", type(of: names.last ?? ""))]
    outcome.part = (descriptor, 0, size)
    if head.fields["If-None-Match"] == nil, let date = head.fields["If-Modified-Since"].flatMap({ httpDate($0) }),
        date >= changed
    {
        close(descriptor)
        return Outcome(status: 304, fields: [outcome.fields[0]])
    }
    guard head.method == "GET", head.fields["If-Range"] == nil, let text = head.fields["Range"] else { return outcome }
    switch Wanted(text, size) {
    case .everything: break
    case .nothing:
        close(descriptor)
        return .text(416, [("Content-Range", "bytes */\(size)")])
    case .bytes(let range):
        outcome.status = 206
        outcome.fields.append(("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound)/\(size)"))
        outcome.part = (descriptor, range.lowerBound, range.count)
    }
    return outcome
}

/// No step leaves the root: each name is looked up in the folder before it, and no link is followed. Non-blocking: a
/// named pipe would wait for its writer.
private func opened(_ names: [String], below top: Int32) -> (Int32, stat) {
    var status = stat()
    var folder = fcntl(top, F_DUPFD_CLOEXEC, 0)
    for name in names {
        guard folder >= 0 else { return (-1, status) }
        let next = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
        close(folder)
        folder = next
    }
    guard folder >= 0, fstat(folder, &status) == 0 else {
        if folder >= 0 { close(folder) }
        return (-1, status)
    }
    return (folder, status)
}

private enum Wanted {
    case everything, nothing
    case bytes(ClosedRange<Int>)

    init(_ text: String, _ size: Int) {
        self = .everything
        guard text.lowercased().hasPrefix("bytes="), let dash = text.firstIndex(of: "-") else { return }
        let (from, to) = (text[..<dash].dropFirst(6), text[dash...].dropFirst())
        guard (from + to).utf8.allSatisfy({ (48...57).contains($0) }), !(from + to).isEmpty else { return }
        let last = to.isEmpty ? nil : Int(to) ?? Int.max
        if from.isEmpty {
            let count = last ?? 0
            if count == 0 { self = .nothing } else if size > 0 { self = .bytes(max(0, size - count)...(size - 1)) }
            return
        }
        let first = Int(from) ?? Int.max
        if let last, last < first { return }
        self = first >= size ? .nothing : .bytes(first...min(last ?? Int.max, size - 1))
    }
}

private func type(of name: String) -> String {
    let end = name.lowercased()
    func ends(_ words: String...) -> Bool { words.contains { end.hasSuffix("." + $0) } }
    if ends("html", "htm") { return "text/html; charset=utf-8" }
    if ends("css") { return "text/css; charset=utf-8" }
    if ends("js") { return "text/javascript; charset=utf-8" }
    if ends("txt") { return "text/plain; charset=utf-8" }
    if ends("json") { return "application/json" }
    if ends("png") { return "image/png" }
    if ends("jpg") { return "image/jpeg" }
    if ends("gif") { return "image/gif" }
    if ends("svg") { return "image/svg+xml" }
    if ends("pdf") { return "application/pdf" }
    return "application/octet-stream"
}

func percentEncoded(_ name: String) -> String {
    var result = ""
    for byte in name.utf8 {
        let isLetter = (97...122).contains(lowercase(byte))
        if isLetter || (48...57).contains(byte) || byte == 45 || byte == 46 || byte == 95 || byte == 126 {
            result.unicodeScalars.append(UnicodeScalar(byte))
        } else {
            result += percentEncoded(byte)
        }
    }
    return result
}
