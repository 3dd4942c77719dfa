import Course
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    try EventServer.run(try FileSite(root: root), host: host, port: port, poller: try KernelPoller())
}

/// The same over select: fewer clients, the same protocol.
public func selectFileServer(host: String, port: UInt16, root: String) throws {
    try EventServer.run(try FileSite(root: root), host: host, port: port, poller: SelectPoller())
}

/// The files of a folder.
final class FileSite: Site {
    private let root: Folder
    let wantsBodies = false
    /// The last one that was written out: files that were copied together are of one time.
    private var lastDate = (seconds: 0, text: httpDate(0))

    init(root: String) throws { self.root = try Folder(root) }

    func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
        let allow = HTTPField("Allow", "GET, HEAD, OPTIONS")
        switch request.method {
        case "GET", "HEAD": return get(request)
        case "OPTIONS": return Reply(status: 204, fields: [allow])
        default: return .plain(405, [allow])
        }
    }

    private func get(_ request: RequestHead) -> Reply {
        guard var names = pathNames(target: request.target), let path = path(of: request.target) else {
            return .plain(400)
        }
        // A folder is asked for with a slash at the end; so the links in its page that have no path are looked up in it.
        let asksForFolder = path.isEmpty || path.last == UInt8(ascii: "/")
        var found = root.find(names)
        if case .folder = found {
            // The way there is put together anew from its names: //elsewhere/ as it came would lead to another host.
            guard asksForFolder else {
                let query = request.target.drop { $0 != "?" }
                let folder = "/" + names.map { percentEncoded($0) + "/" }.joined()
                return .plain(301, [HTTPField("Location", folder + query)])
            }
            names.append("index.html")
            found = root.find(names)
        } else if asksForFolder {
            return .plain(404)
        }
        switch found {
        case .file(let file): return send(file, named: names.last ?? "", to: request)
        case .folder, .nothing: return .plain(404)
        case .forbidden: return .plain(403)
        case .noRoom: return .plain(503)
        }
    }

    private func dateText(_ seconds: Int) -> String {
        if lastDate.seconds != seconds { lastDate = (seconds, httpDate(seconds)) }
        return lastDate.text
    }

    private func send(_ file: OpenFile, named name: String, to request: RequestHead) -> Reply {
        // It is not from the future, whatever its clock says (RFC 9110 section 8.8.2.1).
        let modified = min(file.modified, time(nil))
        if let early = checkConditions(request.fields, modified: modified) { return early }

        var answer = Reply(
            status: 200,
            fields: [
                HTTPField("Content-Type", contentType(of: name)),
                HTTPField("Last-Modified", dateText(modified)), HTTPField("Accept-Ranges", "bytes"),
            ], content: .file(file, from: 0, count: file.size))
        guard request.method == "GET", let range = request.fields["Range"],
            request.fields["If-Range"].map({ httpDate($0) == modified }) ?? true
        else { return answer }
        switch parseRange(range, size: file.size) {
        case .whole: return answer
        case .none: return .plain(416, [HTTPField("Content-Range", "bytes */\(file.size)")])
        case .part(let part):
            answer.status = 206
            answer.fields.append(
                HTTPField("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(file.size)"))
            answer.content = .file(file, from: part.lowerBound, count: part.count)
            return answer
        }
    }

    /// In the order of RFC 9110 section 13.2.2. We give out no tags, so no tag that a client names is ours.
    ///
    /// - Returns: the answer if the file is not to be sent.
    private func checkConditions(_ fields: [HTTPField], modified: Int) -> Reply? {
        if let tags = fields["If-Match"] {
            if tags != "*" { return .plain(412) }
        } else if let date = fields["If-Unmodified-Since"].flatMap(httpDate), modified > date {
            return .plain(412)
        }
        let isKnown: Bool
        if let tags = fields["If-None-Match"] {
            isKnown = tags == "*"
        } else {
            isKnown = fields["If-Modified-Since"].flatMap(httpDate).map { modified <= $0 } ?? false
        }
        return isKnown ? Reply(status: 304, fields: [HTTPField("Last-Modified", dateText(modified))]) : nil
    }
}

enum RequestedRange: Equatable {
    /// Not a range that we know: as if nobody had asked for one.
    case whole
    case part(Range<Int>)
    /// There is nothing there (416).
    case none
}

/// The bytes that a Range field asks for, the last one included. One range and no list: all others are as if nobody had asked.
func parseRange(_ text: String, size: Int) -> RequestedRange {
    let unit = "bytes="
    guard text.lowercased().hasPrefix(unit) else { return .whole }
    let numbers = text.dropFirst(unit.count).split(separator: "-", omittingEmptySubsequences: false)
    guard numbers.count == 2, numbers.allSatisfy({ $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }) else { return .whole }
    let (left, right) = (numbers[0], numbers[1])
    if left.isEmpty && right.isEmpty { return .whole }

    var first: Int
    var last = size - 1
    if left.isEmpty {
        // The last so many.
        first = size - (Int(right) ?? Int.max)
    } else {
        first = Int(left) ?? Int.max
        if !right.isEmpty {
            let asked = Int(right) ?? Int.max
            if asked < first { return .whole }
            last = min(last, asked)
        }
    }
    // Nothing there.
    guard (0..<size).contains(first) else { return .none }
    return .part(first..<last + 1)
}

/// The type by the end of the name. Text is UTF-8, and says so: who is not told, guesses.
private func contentType(of name: String) -> String {
    guard let dot = name.utf8.lastIndex(of: UInt8(ascii: ".")) else { return "application/octet-stream" }
    switch name[dot...].lowercased() {
    case ".html", ".htm": return "text/html; charset=utf-8"
    case ".css": return "text/css; charset=utf-8"
    case ".js", ".mjs": return "text/javascript; charset=utf-8"
    case ".txt", ".md", ".swift": return "text/plain; charset=utf-8"
    case ".csv": return "text/csv; charset=utf-8"
    case ".json": return "application/json"
    case ".xml": return "application/xml"
    case ".svg": return "image/svg+xml"
    case ".png": return "image/png"
    case ".jpg", ".jpeg": return "image/jpeg"
    case ".gif": return "image/gif"
    case ".webp": return "image/webp"
    case ".ico": return "image/x-icon"
    case ".pdf": return "application/pdf"
    case ".wasm": return "application/wasm"
    case ".woff2": return "font/woff2"
    case ".mp3": return "audio/mpeg"
    case ".mp4": return "video/mp4"
    case ".zip": return "application/zip"
    case ".gz": return "application/gzip"
    default: return "application/octet-stream"
    }
}

/// A name as it stands in a URL: what RFC 3986 section 2.3 does not call unreserved becomes %XX.
func percentEncoded(_ name: String) -> String {
    name.utf8.reduce(into: "") { result, byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        default: result += percentEncoded(byte)
        }
    }
}
