import Course
import Foundation
import Sockets

func fileServer(host: String, port: UInt16, root: String) throws {
    guard let resolved = realpath(root, nil) else { throw SocketError("realpath", errno) }
    let folder = String(cString: resolved)
    free(resolved)
    let allow = [("Allow", "OPTIONS, GET, HEAD")]
    try serveThreads(host: host, port: port) { head, _ in
        switch head.method {
        case "GET", "HEAD": return fileReply(head, folder)
        case "OPTIONS": return ThreadReply(status: 200, fields: allow)
        default: return text(405, allow)
        }
    }
}

func fileReply(_ head: RequestHead, _ folder: String) -> ThreadReply {
    guard var names = pathNames(target: head.target) else { return text(404) }
    guard var (file, status) = openInside(folder, names) else { return text(404) }
    if status.st_mode & S_IFMT == S_IFDIR {
        close(file)
        names.append("index.html")
        guard let page = openInside(folder, names) else { return text(404) }
        (file, status) = page
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
        close(file)
        return text(403)
    }
    let modified = status.st_mtim.tv_sec
    let size = Int(status.st_size)
    var fields = [("Content-Type", type(of: names.last ?? "")), ("Last-Modified", dateText(modified))]
    if let since = head.fields.first(where: { $0.name.lowercased() == "if-modified-since" })?.value,
        let date = parseDate(since), modified <= date
    {
        close(file)
        return ThreadReply(status: 304, fields: fields)
    }
    var part = 0..<size
    var code = 200
    if let range = head.fields.first(where: { $0.name.lowercased() == "range" })?.value, range.hasPrefix("bytes=") {
        let ends = range.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        if ends.count == 2 {
            let (first, last) = (Int(ends[0]), Int(ends[1]))
            if let first, first >= size || ends[0].isEmpty == false && last.map({ $0 < first }) == true && first >= size
            {
                close(file)
                return text(416, [("Content-Range", "bytes */\(size)")])
            }
            if ends[0].isEmpty, let last {
                if last == 0 {
                    close(file)
                    return text(416, [("Content-Range", "bytes */\(size)")])
                }
                (part, code) = (max(0, size - last)..<size, 206)
            } else if let first, ends[1].isEmpty || (last ?? -1) >= first {
                (part, code) = (first..<min(size, (last ?? size - 1) + 1), 206)
            }
        }
        if code == 206 { fields.append(("Content-Range", "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)")) }
    }
    return ThreadReply(status: code, fields: fields, file: (file, part.lowerBound, part.count))
}

/// Opens what is there, if it is truly inside.
func openInside(_ folder: String, _ names: [String]) -> (Int32, stat)? {
    guard let resolved = realpath(([folder] + names).joined(separator: "/"), nil) else { return nil }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard path == folder || path.hasPrefix(folder + "/") else { return nil }
    let file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else { return nil }
    var status = stat()
    guard fstat(file, &status) == 0 else {
        close(file)
        return nil
    }
    return (file, status)
}

func parseDate(_ text: String) -> time_t? {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "GMT")
    format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return format.date(from: text).map { time_t($0.timeIntervalSince1970) }
}

func type(of name: String) -> String {
    let types = [
        "html": "text/html; charset=UTF-8", "htm": "text/html; charset=UTF-8", "css": "text/css;charset=utf-8",
        "js": "application/javascript; charset=\"utf-8\"", "txt": "text/plain; charset=utf-8",
        "json": "application/json", "png": "image/png", "jpg": "image/jpeg", "gif": "image/gif",
        "svg": "image/svg+xml", "pdf": "application/pdf",
    ]
    guard let dot = name.lastIndex(of: ".") else { return "application/octet-stream" }
    return types[name[name.index(after: dot)...].lowercased()] ?? "application/octet-stream"
}
