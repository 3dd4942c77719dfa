// What a server answers, and how that becomes bytes.
import Course
import Sockets

struct Reply {
    var status: Int
    /// Besides Date, Content-Length and Connection.
    var fields: [HTTPField] = []
    var content = Content.none

    enum Content {
        case none
        case bytes([UInt8])
        /// So many bytes of a file.
        case file(OpenFile, from: Int, count: Int)

        var count: Int {
            switch self {
            case .none: return 0
            case .bytes(let bytes): return bytes.count
            case .file(_, _, let count): return count
            }
        }
    }

    /// An answer that says in a word what was wrong.
    static func plain(_ status: Int, _ fields: [HTTPField] = []) -> Reply {
        Reply(
            status: status, fields: fields + [HTTPField("Content-Type", "text/plain; charset=utf-8")],
            content: .bytes(Array("\(status) \(reason(of: status))\n".utf8)))
    }

    /// The status line and the fields, to the empty line.
    ///
    /// - Parameter connection: the value of the Connection field, or nil for none.
    func appendHead(to output: inout [UInt8], date: String, connection: String?) {
        output += "HTTP/1.1 ".utf8
        output += "\(status)".utf8
        output.append(32)
        output += Reply.reason(of: status).utf8
        output += "\r\nDate: ".utf8
        output += date.utf8
        for field in fields {
            output += "\r\n".utf8
            output += field.name.utf8
            output += ": ".utf8
            output += field.value.utf8
        }
        // These two never have a content, so they have no length (RFC 9110 section 8.6). All others do, also when it is 0:
        // without it the client would wait for the connection to end.
        if status != 204 && status != 304 {
            output += "\r\nContent-Length: ".utf8
            output += "\(content.count)".utf8
        }
        if let connection {
            output += "\r\nConnection: ".utf8
            output += connection.utf8
        }
        output += "\r\n\r\n".utf8
    }

    /// For people: programs decide on the number.
    static func reason(of status: Int) -> String {
        switch status {
        case 200: return "OK"
        case 201: return "Created"
        case 204: return "No Content"
        case 206: return "Partial Content"
        case 301: return "Moved Permanently"
        case 304: return "Not Modified"
        case 400: return "Bad Request"
        case 403: return "Forbidden"
        case 404: return "Not Found"
        case 405: return "Method Not Allowed"
        case 408: return "Request Timeout"
        case 412: return "Precondition Failed"
        case 413: return "Content Too Large"
        case 414: return "URI Too Long"
        case 416: return "Range Not Satisfiable"
        case 431: return "Request Header Fields Too Large"
        case 501: return "Not Implemented"
        case 503: return "Service Unavailable"
        case 505: return "HTTP Version Not Supported"
        case 507: return "Insufficient Storage"
        default: return ""
        }
    }
}

/// A file that is open for reading; closed when nobody needs it any more, whichever way that comes about.
final class OpenFile {
    let descriptor: Int32
    let size: Int
    /// In seconds since 1970.
    let modified: Int

    /// - Parameter descriptor: owned from now on.
    init(descriptor: Int32, status: stat) {
        self.descriptor = descriptor
        size = Int(status.st_size)
        modified = modificationTime(status)
    }

    deinit { close(descriptor) }

    /// At most `count` bytes from `offset` on (pread(2)).
    ///
    /// - Returns: none at the end of the file, nil if it cannot be read.
    func read(_ count: Int, from offset: Int) -> [UInt8]? {
        var got = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
            repeat { got = pread(descriptor, buffer.baseAddress, count, off_t(offset)) } while got < 0 && errno == EINTR
            used = max(got, 0)
        }
        return got < 0 ? nil : Array(String(decoding: bytes, as: UTF8.self).utf8.prefix(got))
    }
}
