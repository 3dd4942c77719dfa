import Course
import Sockets

func setNonblocking(_ descriptor: Int32, _ on: Bool = true) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK)
}

/// select knows the numbers 0…1023 only. If the process may have no higher ones, none can come.
private func keepDescriptorsBelowSetSize() throws {
    var limit = rlimit()
    try check("getrlimit", getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
    guard limit.rlim_cur > rlim_t(FD_SETSIZE) else { return }
    limit.rlim_cur = rlim_t(FD_SETSIZE)
    try check("setrlimit", setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
}

private struct Waiting {
    var bytes: [UInt8] = []
    var first = 0
    var count: Int { bytes.count - first }

    mutating func add(_ more: some Sequence<UInt8>) {
        if first > 0 {
            bytes.removeSubrange(0..<first)
            first = 0
        }
        bytes.append(contentsOf: more)
    }
}

func selectServer(host: String, port: UInt16) throws {
    try keepDescriptorsBelowSetSize()
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var yes: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, SOMAXCONN))
    setNonblocking(listener)

    var talking: Set<Int32> = []
    var ended: Set<Int32> = []
    var waiting: [Int32: Waiting] = [:]
    var resting = false
    var input = [UInt8](repeating: 0, count: 16_384)

    func bury(_ client: Int32) {
        talking.remove(client)
        ended.remove(client)
        waiting[client] = nil
        close(client)
    }

    func push(_ client: Int32) {
        guard let queue = waiting[client], queue.count > 0 else { return }
        let count = queue.bytes[queue.first...].withUnsafeBytes { send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { bury(client) }
            return
        }
        waiting[client]?.first += count
    }

    while true {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        if !resting { fdSet(listener, &readable) }
        var nfds = listener + 1
        for (client, queue) in waiting {
            nfds = max(nfds, client + 1)
            if talking.contains(client) && queue.count < 65_536 { fdSet(client, &readable) }
            if queue.count > 0 { fdSet(client, &writable) }
        }

        var pause = timeval(tv_sec: 0, tv_usec: 100_000)
        let ready = withUnsafeMutablePointer(to: &pause) { select(nfds, &readable, &writable, nil, resting ? $0 : nil) }
        if ready < 0 && errno == EINTR { continue }
        try check("select", ready)

        for client in Array(waiting.keys) {
            if fdIsSet(client, &readable) != 0 {
                let count = recv(client, &input, input.count, 0)
                if count > 0 {
                    waiting[client]?.add(input[..<count].lazy.map { (97...122).contains($0) ? $0 - 32 : $0 })
                    push(client)
                } else if count == 0 {
                    talking.remove(client)
                    ended.insert(client)
                } else if errno != EAGAIN && errno != EINTR {
                    bury(client)
                }
            } else if fdIsSet(client, &writable) != 0 {
                push(client)
            }
            if ended.contains(client), waiting[client]?.count == 0 { bury(client) }
        }

        if resting || fdIsSet(listener, &readable) != 0 {
            resting = false
            while !resting {
                let client = accept(listener, nil, nil)
                if client >= 0 {
                    setNonblocking(client)
                    talking.insert(client)
                    waiting[client] = Waiting()
                    continue
                }
                let reason = errno
                if reason == EAGAIN { break }
                if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(reason) {
                    resting = true
                } else if ![EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENETUNREACH, EHOSTUNREACH].contains(reason) {
                    throw SocketError("accept", reason)
                }
            }
        }
    }
}
