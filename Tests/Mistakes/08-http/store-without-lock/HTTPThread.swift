import Course
import Foundation
import Sockets

/// What an answer consists of; a file is sent piece by piece.
struct ThreadReply {
    var status = 200
    var fields: [(String, String)] = []
    var body: [UInt8] = []
    var file: (descriptor: Int32, offset: Int, count: Int)?

    var length: Int { file?.count ?? body.count }
}

struct Gone: Error {}

/// Accepts for ever, a thread for each client.
func serveThreads(host: String, port: UInt16, answer: @escaping @Sendable (RequestHead, [UInt8]) -> ThreadReply) throws
{
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
    defer { close(listener) }
    var on: Int32 = 1
    try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size)))
    try check("bind", address.withSockaddr { bind(listener, $0, $1) })
    try check("listen", listen(listener, 1024))
    while true {
        let client = accept(listener, nil, nil)
        if client < 0 {
            if errno == EMFILE || errno == ENFILE { usleep(20_000) }
            if [EINTR, ECONNABORTED, EMFILE, ENFILE].contains(errno) { continue }
            throw SocketError("accept", errno)
        }
        Thread.detachNewThread {
            defer { close(client) }
            do { try talk(client, answer) } catch {
                // Reset, or gone while it was answered: its connection is closed, others go on.
            }
        }
    }
}

func milliseconds() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

func waitFor(_ socket: Int32, _ events: Int32, until deadline: Int) throws {
    while true {
        var one = pollfd(fd: socket, events: Int16(events), revents: 0)
        let left = deadline - milliseconds()
        if left <= 0 { throw Gone() }
        let count = poll(&one, 1, Int32(left))
        if count > 0 { return }
        if count < 0 && errno != EINTR { throw Gone() }
    }
}

func sendEverything(_ socket: Int32, _ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
        let count = bytes[sent...].withUnsafeBytes {
            send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | Int32(MSG_DONTWAIT))
        }
        if count >= 0 {
            sent += count
        } else if errno == EAGAIN {
            try waitFor(socket, Int32(POLLOUT), until: milliseconds() + Lesson08.answerTimeout)
        } else if errno != EINTR {
            throw Gone()
        }
    }
}

func tokens(_ head: RequestHead, _ name: String) -> [String] {
    head.fields.filter { $0.name.lowercased() == name }.flatMap { $0.value.lowercased().split(separator: ",") }
        .map { $0.trimmingCharacters(in: .whitespaces) }
}

func talk(_ client: Int32, _ answer: (RequestHead, [UInt8]) -> ThreadReply) throws {
    var decoder = HTTPRequestDecoder(limits: RequestLimits())
    var head: RequestHead?
    var body: [UInt8] = []
    var deadline = milliseconds() + Lesson08.clientTimeout
    var buffer = [UInt8](repeating: 0, count: 16_384)
    while true {
        do {
            while let event = try decoder.next() {
                switch event {
                case .head(let new):
                    head = new
                    deadline = milliseconds() + Lesson08.clientTimeout
                    if new.minorVersion > 0 && tokens(new, "expect").contains("100-continue") {
                        try sendEverything(client, Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
                    }
                case .body(let bytes): body += bytes
                case .end:
                    guard let request = head else { return }
                    let reply = answer(request, body)
                    defer { if let file = reply.file { close(file.descriptor) } }
                    let options = tokens(request, "connection")
                    let closes =
                        options.contains("close") || request.minorVersion == 0 && !options.contains("keep-alive")
                    try sendReply(client, reply, isHead: request.method == "HEAD", closes: closes)
                    if closes { return }
                    (head, body) = (nil, [])
                    deadline = milliseconds() + Lesson08.clientTimeout
                }
            }
        } catch let refused as RequestRefused {
            return try sendReply(client, text(refused.status), isHead: false, closes: true)
        }
        try waitFor(client, Int32(POLLIN), until: deadline)
        let count = recv(client, &buffer, buffer.count, 0)
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        if head != nil { deadline = milliseconds() + Lesson08.clientTimeout }
        decoder.feed(Array(buffer[..<count]))
    }
}

func text(_ status: Int, _ fields: [(String, String)] = []) -> ThreadReply {
    ThreadReply(
        status: status, fields: fields + [("Content-Type", "text/plain; charset=utf-8")],
        body: Array("status \(status)\n".utf8))
}

func dateNow() -> String { dateText(time(nil)) }

func dateText(_ seconds: time_t) -> String {
    var seconds = seconds
    var parts = tm()
    gmtime_r(&seconds, &parts)
    let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    func two(_ number: Int32) -> String { (number < 10 ? "0" : "") + "\(number)" }
    return days[Int(parts.tm_wday)] + ", " + two(parts.tm_mday) + " " + months[Int(parts.tm_mon)]
        + " \(parts.tm_year + 1900) " + two(parts.tm_hour) + ":" + two(parts.tm_min) + ":" + two(parts.tm_sec) + " GMT"
}

func sendReply(_ client: Int32, _ reply: ThreadReply, isHead: Bool, closes: Bool) throws {
    var output = "HTTP/1.1 \(reply.status) \r\ndate: \(dateNow())\r\n"
    for (name, value) in reply.fields { output += name.lowercased() + ": \(value)\r\n" }
    if reply.status != 204 && reply.status != 304 { output += "content-length: \(reply.length)\r\n" }
    if closes { output += "connection: close\r\n" }
    try sendEverything(client, Array(output.utf8) + [13, 10] + (isHead ? [] : reply.body))
    guard !isHead, let (descriptor, start, count) = reply.file else { return }
    var sent = 0
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while sent < count {
        let got = pread(descriptor, &buffer, min(buffer.count, count - sent), off_t(start + sent))
        if got < 0 && errno == EINTR { continue }
        guard got > 0 else { throw Gone() }
        try sendEverything(client, Array(buffer[..<got]))
        sent += got
    }
}
