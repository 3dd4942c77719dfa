import Course
import Foundation

func serverHandshake(_ received: [UInt8], allowedOrigins: [String]?) -> ServerHandshake {
    guard let length = endOfHead(received) else {
        return received.count >= Lesson09.headLimit ? refuse(431, "too long") : .incomplete
    }
    guard length <= Lesson09.headLimit else { return refuse(431, "too long") }
    do {
        let request = try UpgradeRequest(received.prefix(length - 4))
        try request.examine(allowedOrigins)
        let response = """
            HTTP/1.1 101 Switching Protocols\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Accept: \(acceptKey(request.fields["sec-websocket-key"] ?? ""))\r
            \r\n
            """
        return .accepted(response: Array(response.utf8), length: length)
    } catch let refusal as Refusal {
        return refuse(refusal.status, refusal.why)
    } catch {
        return refuse(400, "no request")
    }
}

/// The number of bytes up to and with CR LF CR LF.
private func endOfHead(_ bytes: [UInt8]) -> Int? {
    var matched = 0
    for (index, byte) in bytes.enumerated() {
        let wanted: UInt8 = matched % 2 == 0 ? 13 : 10
        if byte == wanted {
            matched += 1
            if matched == 4 { return index + 1 }
        } else {
            matched = byte == 13 ? 1 : 0
        }
    }
    return nil
}

private struct Refusal: Error {
    let status: Int
    let why: String
}

private struct UpgradeRequest {
    let firstLine: String
    /// By their names in lower case.
    private(set) var fields: [String: String] = [:]

    init(_ head: ArraySlice<UInt8>) throws {
        let text = String(decoding: head, as: UTF8.self)
        var lines = text.components(separatedBy: "\r\n")
        firstLine = lines.removeFirst()
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
                throw Refusal(status: 400, why: "a line without a name")
            }
            let name = line[..<colon].lowercased()
            guard !name.contains(where: { $0 == " " || $0 == "\t" }) else {
                throw Refusal(status: 400, why: "a blank in a name")
            }
            // Which of the two would be meant? Another program on the way may take the other.
            guard fields[name] == nil else { throw Refusal(status: 400, why: "\(name) is there twice") }
            fields[name] = line[line.index(after: colon)...].trimmingCharacters(in: CharacterSet(charactersIn: " \t"))
        }
    }

    func examine(_ allowedOrigins: [String]?) throws {
        let words = firstLine.components(separatedBy: " ")
        guard words.count == 3, words[0] == "GET", words[1] != "", words[2] == "HTTP/1.1" else {
            throw Refusal(status: 400, why: "no GET of HTTP/1.1")
        }
        guard fields["host"] != nil else { throw Refusal(status: 400, why: "no Host") }
        guard list("upgrade").contains("websocket"), list("connection").contains("upgrade") else {
            throw Refusal(status: 426, why: "only WebSocket here")
        }
        guard fields["sec-websocket-version"] == "13" else { throw Refusal(status: 426, why: "only version 13 here") }
        guard let key = fields["sec-websocket-key"], key.utf8.count == 24, Data(base64Encoded: key)?.count == 16 else {
            throw Refusal(status: 400, why: "no key")
        }
        if let origin = fields["origin"], let allowedOrigins,
            !allowedOrigins.contains(where: { $0.lowercased() == origin.lowercased() })
        {
            throw Refusal(status: 403, why: "not from there")
        }
    }

    private func list(_ name: String) -> [String] {
        (fields[name] ?? "").lowercased().split(separator: ",").map {
            $0.trimmingCharacters(in: CharacterSet(charactersIn: " \t"))
        }
    }
}

private func refuse(_ status: Int, _ why: String) -> ServerHandshake {
    let reasons = [
        400: "Bad Request", 403: "Forbidden", 426: "Upgrade Required", 431: "Request Header Fields Too Large",
    ]
    var head = "HTTP/1.1 \(status) \(reasons[status] ?? "No")\r\nContent-Type: text/plain\r\n"
    if status == 426 { head += "Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Version: 13\r\n" }
    if status != 426 { head += "Connection: close\r\n" }
    head += "Content-Length: \(why.utf8.count)\r\n\r\n"
    return .refused(status: status, response: Array((head + why).utf8))
}
