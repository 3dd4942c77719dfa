import Course
import Foundation
import Sockets

final class Shelf: @unchecked Sendable {
    var things: [String: (type: String, bytes: [UInt8])] = [:]
    var total = 0
    var number = 0
}

func storeServer(host: String, port: UInt16) throws {
    let shelf = Shelf()
    try serveThreads(host: host, port: port) { head, body in answer(head, body, shelf) }
}

private func answer(_ head: RequestHead, _ body: [UInt8], _ shelf: Shelf) -> ThreadReply {
    let allow = [("Allow", "GET, HEAD, PUT, POST, DELETE, OPTIONS")]
    if head.method == "OPTIONS" { return ThreadReply(status: 204, fields: allow) }
    guard let names = pathNames(target: head.target) else { return text(400) }
    let key = "/" + names.joined(separator: "/")
    let type = head.fields.first { $0.name.lowercased() == "content-type" }?.value ?? "application/octet-stream"
    func keep(_ key: String) -> Bool {
        let after = shelf.total + body.count - (shelf.things[key]?.bytes.count ?? 0)
        guard after <= Lesson08.storeLimit else { return false }
        shelf.total = after
        shelf.things[key] = (type, body)
        return true
    }
    switch head.method {
    case "GET", "HEAD":
        guard let thing = shelf.things[key] else { return text(404) }
        return ThreadReply(fields: [("Content-Type", thing.type)], body: thing.bytes)
    case "PUT":
        let isNew = shelf.things[key] == nil
        guard keep(key) else { return text(507) }
        return isNew ? text(201) : ThreadReply(status: 204)
    case "POST":
        repeat { shelf.number += 1 } while shelf.things["\(key)/\(shelf.number)"] != nil
        let place = (key == "/" ? "" : key) + "/\(shelf.number)"
        guard keep(place) else { return text(507) }
        return text(201, [("Location", place)])
    case "DELETE":
        guard let thing = shelf.things.removeValue(forKey: key) else { return text(404) }
        shelf.total -= thing.bytes.count
        return text(200)
    default: return text(405, allow)
    }
}
