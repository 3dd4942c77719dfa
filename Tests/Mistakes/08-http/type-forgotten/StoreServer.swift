import Course

func storeServer(host: String, port: UInt16) throws {
    try EventServer.run(Store(), host: host, port: port, poller: try KernelPoller())
}

/// What clients have put there. One thread answers all of them, one after another, so nobody needs a lock; with a thread
/// for each client every look into `kept` would.
final class Store: Site {
    let wantsBodies = true
    private var kept: [String: Item] = [:]
    /// Bytes of all that is kept.
    private var size = 0
    /// The last number that POST gave out.
    private var number = 0

    private struct Item {
        var type: String
        var bytes: [UInt8]
    }

    private static let allow = HTTPField("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")

    func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
        if request.method == "OPTIONS" { return Reply(status: 204, fields: [Store.allow]) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(request.method) else {
            return .plain(405, [Store.allow])
        }
        guard let names = pathNames(target: request.target) else { return .plain(400) }
        // From the names, and not as it came: /a%62 and /ab are one place.
        let place = names.map { "/" + percentEncoded($0) }.joined()
        switch request.method {
        case "PUT": return put(body, at: place, request.fields)
        case "POST": return post(body, below: place, request.fields)
        case "DELETE":
            guard let item = kept.removeValue(forKey: place) else { return .plain(404) }
            size -= cost(of: item, at: place)
            return Reply(status: 204)
        default:
            guard let item = kept[place] else { return .plain(404) }
            return Reply(status: 200, fields: [HTTPField("Content-Type", item.type)], content: .bytes(item.bytes))
        }
    }

    private func put(_ body: [UInt8], at place: String, _ fields: [HTTPField]) -> Reply {
        // A part of something: to keep it as the whole would lose the rest (RFC 9110 section 14.5).
        guard fields["Content-Range"] == nil else { return .plain(400) }
        let isNew = kept[place] == nil
        guard keep(body, at: place, fields) else { return .plain(507) }
        return Reply(status: isNew ? 201 : 204)
    }

    private func post(_ body: [UInt8], below place: String, _ fields: [HTTPField]) -> Reply {
        var new: String
        repeat {
            number += 1
            new = place + "/\(number)"
        } while kept[new] != nil
        guard keep(body, at: new, fields) else { return .plain(507) }
        return Reply(status: 201, fields: [HTTPField("Location", new)])
    }

    private func keep(_ body: [UInt8], at place: String, _ fields: [HTTPField]) -> Bool {
        let item = Item(type: "application/octet-stream", bytes: body)
        let grown = size + cost(of: item, at: place) - (kept[place].map { cost(of: $0, at: place) } ?? 0)
        guard grown <= Lesson08.storeLimit else { return false }
        kept[place] = item
        size = grown
        return true
    }

    /// Names and types take room, too, and so does an entry: without them a million empty bodies would cost nothing.
    private func cost(of item: Item, at place: String) -> Int {
        item.bytes.count + item.type.utf8.count + place.utf8.count + 100
    }
}
