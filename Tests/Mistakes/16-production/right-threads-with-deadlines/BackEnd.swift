import Course
import Foundation
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    try serveEach(host: host, port: port, stop: stop) { wire in
        var dialogue = Dialogue(wire: wire, name: name)
        dialogue.run()
    }
}

private struct Dialogue {
    let wire: Wire
    let name: String
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits())
    var head = RequestHead(method: "", target: "", minorVersion: 1, fields: [])
    var body = Data()
    var place = Place.between

    enum Place: Equatable {
        case between
        /// In lines: the head, or a body in chunks.
        case lines
        /// In a body that has so many bytes left.
        case counted(Int)
    }

    init(wire: Wire, name: String) {
        self.wire = wire
        self.name = name
    }

    mutating func run() {
        while place != .between || wire.hasNextRequest() {
            guard let bytes = wire.receive() else { return }
            do {
                guard try take(bytes) else { break }
            } catch {
                let status = (error as? RequestRefused)?.status ?? 400
                _ = wire.send(Array("HTTP/1.1 \(status) No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".utf8))
                break
            }
        }
        wire.finish()
    }

    /// A request ends with a line, or where its counted body ends: so it is fed in pieces that end there.
    mutating func take(_ bytes: [UInt8]) throws -> Bool {
        var start = 0
        while start < bytes.count {
            var end = bytes.count
            if case .counted(let left) = place {
                end = min(end, start + max(1, left))
                place = .counted(left - (end - start))
            } else {
                if let line = bytes[start...].firstIndex(of: 10) { end = line + 1 }
                place = .lines
            }
            decoder.feed(Array(bytes[start..<end]))
            start = end
            while let event = try decoder.next() {
                switch event {
                case .head(let new):
                    head = new
                    body = Data()
                    if let length = field("content-length").last.flatMap({ Int($0) }) { place = .counted(length) }
                case .body(let piece): body.append(contentsOf: piece)
                case .end:
                    place = .between
                    guard answer() else { return false }
                }
            }
        }
        return true
    }

    private func field(_ name: String) -> [String] {
        head.fields.filter { $0.name.lowercased() == name }.map(\.value)
    }

    /// - Returns: whether another request may follow.
    private func answer() -> Bool {
        let stopping = wire.isStopping()
        let options = field("connection").joined(separator: ",").lowercased().components(separatedBy: ",")
            .map { $0.trimmingCharacters(in: .whitespaces) }
        let isLast = stopping || head.minorVersion < 1 || options.contains("close")
        let path = head.target.components(separatedBy: "?")[0]
        var status = "404 Not Found"
        var content: [UInt8] = []
        if head.method == "GET" && path == "/" {
            status = "200 OK"
            let peer = (try? SocketAddress.peer(of: wire.fd))?.host ?? ""
            let client = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
            content = Array("\(name) \(client.address) \(client.scheme)\n".utf8)
        } else if head.method == "GET" && path == "/health" {
            status = stopping ? "503 Service Unavailable" : "200 OK"
            content = Array((stopping ? "stopping\n" : "ok\n").utf8)
        } else if head.method == "POST" && path == "/upper" {
            status = "200 OK"
            content = body.map { (97...122).contains($0) ? $0 &- 32 : $0 }
        }
        let lines = ["HTTP/1.1 \(status)", "Content-Length: \(content.count)"] + (isLast ? ["Connection: close"] : [])
        return wire.send(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8), content) && !isLast
    }
}
