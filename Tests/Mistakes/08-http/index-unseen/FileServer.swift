import Course
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    guard let place = Place(root) else { throw SocketError("realpath(\(root))", errno) }
    try EventServer.run(Files(below: place), host: host, port: port, poller: try KernelPoller())
}

/// Where a path really is, with no link in it.
private struct Place {
    let path: [UInt8]

    init?(_ path: String) {
        guard let real = realpath(path, nil) else { return nil }
        self.path = Array(UnsafeRawBufferPointer(start: real, count: strlen(real)))
        free(real)
    }

    func isBelow(_ other: Place) -> Bool {
        path == other.path || path.starts(with: other.path + (other.path == Array("/".utf8) ? [] : Array("/".utf8)))
    }

    var text: String { String(decoding: path, as: UTF8.self) }
}

private final class Files: Site {
    let wantsBodies = false
    private let root: Place

    init(below root: Place) { self.root = root }

    func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
        let allow = [HTTPField("Allow", "GET, HEAD, OPTIONS")]
        if request.method == "OPTIONS" { return Reply(status: 204, fields: allow) }
        guard request.method == "GET" || request.method == "HEAD" else { return .plain(405, allow) }
        guard let names = pathNames(target: request.target), let asked = path(of: request.target) else {
            return .plain(400)
        }
        let path = root.text + names.map { "/" + $0 }.joined()
        guard let place = Place(path) else { return .plain(errno == EACCES ? 403 : 404) }
        guard place.isBelow(root) else { return .plain(403) }

        var status = stat()
        guard stat(place.text, &status) == 0 else { return .plain(404) }
        let hasSlash = asked.last.map { $0 == UInt8(ascii: "/") } ?? true
        switch (status.st_mode & S_IFMT, hasSlash) {
        case (S_IFDIR, true): return file(place.text + "/index.html", named: "index.html", for: request)
        case (S_IFDIR, false):
            let folder = names.reduce("/") { $0 + percentEncoded($1) + "/" }
            return .plain(301, [HTTPField("Location", folder)])
        case (_, true): return .plain(404)
        case (_, false): return file(place.text, named: names.last ?? "", for: request)
        }
    }

    private func file(_ path: String, named name: String, for request: RequestHead) -> Reply {
        // A named pipe must not hold everybody up.
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            let isFull = errno == EMFILE || errno == ENFILE || errno == ENOMEM
            return .plain(isFull ? 503 : errno == EACCES ? 403 : 404)
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            return .plain(404)
        }
        return reply(OpenFile(descriptor: descriptor, status: status), name, request)
    }

    private func reply(_ file: OpenFile, _ name: String, _ request: RequestHead) -> Reply {
        let modified = min(file.modified, time(nil))
        let stamp = HTTPField("Last-Modified", httpDate(modified))
        if let date = request.fields["If-Modified-Since"].flatMap({ httpDate($0) }), modified <= date {
            return Reply(status: 304, fields: [stamp])
        }
        let type = HTTPField("Content-Type", typeOf(name))
        let whole = Reply(status: 200, fields: [type, stamp], content: .file(file, from: 0, count: file.size))
        guard request.method == "GET", let range = request.fields["Range"] else { return whole }
        switch parseRange(range, size: file.size) {
        case .whole: return whole
        case .none: return .plain(416, [HTTPField("Content-Range", "bytes */\(file.size)")])
        case .part(let part):
            let said = HTTPField("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)")
            return Reply(
                status: 206, fields: [type, stamp, said],
                content: .file(file, from: part.lowerBound, count: part.count))
        }
    }
}

private let types: [(ends: [String], type: String)] = [
    ([".html", ".htm"], "text/html; charset=utf-8"), ([".css"], "text/css; charset=utf-8"),
    ([".js"], "text/javascript; charset=utf-8"), ([".txt"], "text/plain; charset=utf-8"),
    ([".json"], "application/json"), ([".png"], "image/png"), ([".jpg"], "image/jpeg"), ([".gif"], "image/gif"),
    ([".svg"], "image/svg+xml"), ([".pdf"], "application/pdf"),
]

private func typeOf(_ name: String) -> String {
    let name = name.lowercased()
    return types.first { $0.ends.contains { name.hasSuffix($0) } }?.type ?? "application/octet-stream"
}

enum RequestedRange: Equatable {
    case whole
    case part(Range<Int>)
    case none
}

func parseRange(_ text: String, size: Int) -> RequestedRange {
    let value = Array(text.lowercased().utf8)
    guard value.starts(with: "bytes=".utf8), let dash = value.firstIndex(of: UInt8(ascii: "-")) else { return .whole }
    let (left, right) = (value[6..<dash], value[(dash + 1)...])
    guard (left + right).allSatisfy({ (48...57).contains($0) }), !(left + right).isEmpty else { return .whole }
    func number(_ digits: ArraySlice<UInt8>) -> Int { Int(String(decoding: digits, as: UTF8.self)) ?? .max }
    if left.isEmpty {
        let count = min(size, number(right))
        if number(right) == 0 { return .none }
        return count == 0 ? .whole : .part(size - count..<size)
    }
    let (first, last) = (number(left), right.isEmpty ? .max : number(right))
    if last < first { return .whole }
    return first < size ? .part(first..<1 + min(last, size - 1)) : .none
}

func percentEncoded(_ name: String) -> String {
    name.utf8.reduce(into: "") { text, byte in
        let isPlain = byte < 128 && (isLetter(byte) || "0123456789-._~".utf8.contains(byte))
        text += isPlain ? String(Unicode.Scalar(byte)) : percentEncoded(byte)
    }
}

private func isLetter(_ byte: UInt8) -> Bool { (97...122).contains(byte | 32) }
