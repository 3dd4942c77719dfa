// The same threads as in FileServer.swift; one lock, held while the Dictionary is touched and at no other time.
import Course
import Foundation

func storeServer(host: String, port: UInt16) throws {
    try serveForEver(host: host, port: port, Shelf())
}

private final class Shelf: Answering, @unchecked Sendable {
    let keepsBodies = true
    private let lock = NSLock()
    private var things: [String: (type: String, bytes: [UInt8])] = [:]
    private var total = 0
    private var lastNumber = 0

    func answer(_ request: RequestHead, _ body: [UInt8]) -> ServerAnswer {
        let allow = HTTPField("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")
        if request.method == "OPTIONS" { return ServerAnswer(status: 204, fields: [allow]) }
        guard ["GET", "HEAD", "PUT", "POST", "DELETE"].contains(request.method) else { return .words(405, [allow]) }
        guard let names = pathNames(target: request.target) else { return .words(400) }
        let place = names.map { "/" + percentEncoded($0) }.joined()
        let thing = (type: request.fields["Content-Type"] ?? "application/octet-stream", bytes: body)
        switch request.method {
        case "PUT":
            guard let isNew = put(thing, at: place) else { return .words(507) }
            return ServerAnswer(status: isNew ? 201 : 204)
        case "POST":
            guard let new = post(thing, below: place) else { return .words(507) }
            return ServerAnswer(status: 201, fields: [HTTPField("Location", new)])
        case "DELETE": return delete(place) ? ServerAnswer(status: 204) : .words(404)
        default:
            guard let thing = get(place) else { return .words(404) }
            return ServerAnswer(
                status: 200, fields: [HTTPField("Content-Type", thing.type)], payload: .memory(thing.bytes))
        }
    }

    private func get(_ place: String) -> (type: String, bytes: [UInt8])? {
        lock.lock()
        defer { lock.unlock() }
        return things[place]
    }

    private func put(_ thing: (type: String, bytes: [UInt8]), at place: String) -> Bool? {
        lock.lock()
        defer { lock.unlock() }
        return keep(thing, at: place)
    }

    private func post(_ thing: (type: String, bytes: [UInt8]), below place: String) -> String? {
        lock.lock()
        defer { lock.unlock() }
        var new: String
        repeat {
            lastNumber += 1
            new = place + "/\(lastNumber)"
        } while things[new] != nil
        return keep(thing, at: new) == nil ? nil : new
    }

    private func delete(_ place: String) -> Bool {
        lock.lock()
        defer { lock.unlock() }
        guard let old = things.removeValue(forKey: place) else { return false }
        total -= old.bytes.count
        return true
    }

    /// With the lock held. Returns whether it is new, or nil if there is no room.
    private func keep(_ thing: (type: String, bytes: [UInt8]), at place: String) -> Bool? {
        let old = things[place]
        let size = total - (old?.bytes.count ?? 0) + thing.bytes.count
        guard size <= Lesson08.storeLimit else { return nil }
        things[place] = thing
        total = size
        return old == nil
    }
}
