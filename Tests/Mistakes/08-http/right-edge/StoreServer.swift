import Course
import Sockets

func storeServer(host: String, port: UInt16) throws {
    var memory = Memory()
    try EdgeLoop(host: host, port: port, keepsBodies: true) { head, body in memory.outcome(head, body) }.run()
}

/// One thread, so no lock.
private struct Memory {
    private typealias Thing = (type: String, bytes: [UInt8])
    private var things: [String: Thing] = [:]
    private var used = 0
    private var counter = 0

    mutating func outcome(_ head: RequestHead, _ body: [UInt8]) -> Outcome {
        let allow = (name: "Allow", value: "GET, HEAD, PUT, POST, DELETE, OPTIONS")
        if head.method == "OPTIONS" { return Outcome(status: 200, fields: [allow]) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(head.method) else { return .text(405, [allow]) }
        guard let names = pathNames(target: head.target) else { return .text(400) }
        let place = names.map { "/" + percentEncoded($0) }.joined()
        switch head.method {
        case "PUT":
            let wasThere = things[place] != nil
            guard keep(body, head, at: place) else { return .text(507) }
            return Outcome(status: wasThere ? 200 : 201)
        case "POST":
            counter += 1
            while things["\(place)/n\(counter)"] != nil { counter += 1 }
            guard keep(body, head, at: "\(place)/n\(counter)") else { return .text(507) }
            return Outcome(status: 201, fields: [("Location", "\(place)/n\(counter)")])
        case "DELETE":
            guard let thing = things.removeValue(forKey: place) else { return .text(404) }
            used -= thing.bytes.count
            return Outcome(status: 200)
        default:
            guard let thing = things[place] else { return .text(404) }
            return Outcome(status: 200, fields: [("Content-Type", thing.type)], bytes: thing.bytes)
        }
    }

    private mutating func keep(_ body: [UInt8], _ head: RequestHead, at place: String) -> Bool {
        let before = things[place]?.bytes.count ?? 0
        guard used - before + body.count <= Lesson08.storeLimit else { return false }
        used += body.count - before
        things[place] = (head.fields["Content-Type"] ?? "application/octet-stream", body)
        return true
    }
}
