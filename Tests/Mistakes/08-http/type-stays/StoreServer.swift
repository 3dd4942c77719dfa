import Course

func storeServer(host: String, port: UInt16) throws {
    try EventServer.run(Shelf(), host: host, port: port, poller: try KernelPoller())
}

/// One thing that somebody has put somewhere.
private final class Thing {
    var bytes: [UInt8] = []
    var type = "application/octet-stream"

    func fill(_ body: [UInt8], _ head: RequestHead) {
        bytes = body
        if let type = head.fields["Content-Type"] { self.type = type }
    }
}

/// All things, by place. The event server has one thread: nobody else touches them.
private final class Shelf: Site {
    let wantsBodies = true
    private var things: [String: Thing] = [:]
    private var total = 0
    private var posts = 0
    private let methods: [String: (Shelf) -> (String, RequestHead, [UInt8]) -> Reply] = [
        "GET": Shelf.show, "HEAD": Shelf.show, "PUT": Shelf.put, "POST": Shelf.post, "DELETE": Shelf.delete,
    ]

    func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
        let allow = HTTPField("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")
        if request.method == "OPTIONS" { return Reply(status: 204, fields: [allow]) }
        guard let method = methods[request.method] else { return .plain(405, [allow]) }
        guard let names = pathNames(target: request.target) else { return .plain(400) }
        return method(self)(names.map { "/" + percentEncoded($0) }.joined(), request, body)
    }

    private func show(_ place: String, _ request: RequestHead, _ body: [UInt8]) -> Reply {
        guard let thing = things[place] else { return .plain(404) }
        return Reply(status: 200, fields: [HTTPField("Content-Type", thing.type)], content: .bytes(thing.bytes))
    }

    private func put(_ place: String, _ request: RequestHead, _ body: [UInt8]) -> Reply {
        let isThere = things[place] != nil
        guard keep(place, request, body) else { return .plain(507) }
        return Reply(status: isThere ? 204 : 201)
    }

    private func post(_ list: String, _ request: RequestHead, _ body: [UInt8]) -> Reply {
        var place: String
        repeat {
            posts += 1
            place = "\(list)/\(posts)"
        } while things[place] != nil
        guard keep(place, request, body) else { return .plain(507) }
        return Reply(status: 201, fields: [HTTPField("Location", place)])
    }

    private func delete(_ place: String, _ request: RequestHead, _ body: [UInt8]) -> Reply {
        guard let thing = things.removeValue(forKey: place) else { return .plain(404) }
        total -= thing.bytes.count
        return Reply(status: 204)
    }

    private func keep(_ place: String, _ request: RequestHead, _ body: [UInt8]) -> Bool {
        let thing = things[place] ?? Thing()
        let grown = total - thing.bytes.count + body.count
        if grown > Lesson08.storeLimit { return false }
        total = grown
        thing.fill(body, request)
        things[place] = thing
        return true
    }
}
