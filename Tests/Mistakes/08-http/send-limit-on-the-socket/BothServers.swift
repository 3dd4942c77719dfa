// What both servers say.
import Course
import Sockets

func now() -> Int {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

func listen(host: String, port: UInt16) throws -> Int32 {
    let address = try SocketAddress(host: host, port: port)
    let listener = try check("socket", socket(address.family, SOCK_STREAM | SOCK_CLOEXEC, 0))
    do {
        var one: Int32 = 1
        try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, 4))
        if address.family == AF_INET6 {
            try check("setsockopt", setsockopt(listener, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, 4))
        }
        try check("bind", address.withSockaddr { bind(listener, $0, $1) })
        try check("listen", Sockets.listen(listener, 512))
    } catch {
        close(listener)
        throw error
    }
    return listener
}

let reasons = [
    200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently",
    304: "Not Modified", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    413: "Content Too Large", 414: "URI Too Long", 416: "Range Not Satisfiable", 431: "Request Header Fields Too Large",
    501: "Not Implemented", 505: "HTTP Version Not Supported", 507: "Insufficient Storage",
]

func head(_ status: Int, _ fields: [(String, String)], length: Int?, close: Bool) -> [UInt8] {
    var text = "HTTP/1.1 \(status) \(reasons[status] ?? "Status")\r\nDate: \(httpDate(time(nil)))\r\n"
    for (name, value) in fields { text += "\(name): \(value)\r\n" }
    if let length { text += "Content-Length: \(length)\r\n" }
    if close { text += "Connection: close\r\n" }
    return Array((text + "\r\n").utf8)
}

extension RequestHead {
    func first(_ name: String) -> String? { fields.first { $0.name.lowercased() == name }?.value }

    func lists(_ token: String, in name: String) -> Bool {
        fields.contains { field in
            field.name.lowercased() == name
                && field.value.lowercased().split(separator: ",").contains {
                    $0.filter { $0 != " " && $0 != "\t" } == token
                }
        }
    }

    var wantsClose: Bool { minorVersion == 0 || lists("close", in: "connection") }
    var wantsContinue: Bool { minorVersion > 0 && lists("100-continue", in: "expect") }
}
