import Course
import Sockets

func storeServer(host: String, port: UInt16) throws {
    let poller = try KernelPoller()
    try EventServer.run(Warehouse(), host: host, port: port, poller: poller)
}

/// How much may be kept, and how much is.
private struct Budget {
    private let most: Int
    private var used = 0

    init(_ most: Int) { self.most = most }

    func has(room count: Int) -> Bool { count <= most - used }
    mutating func take(_ count: Int) { used += count }
    mutating func giveBack(_ count: Int) { used -= count }
}

final class Warehouse: Site {
    private final class Parcel {
        var type = "application/octet-stream"
        var bytes: [UInt8] = []
    }

    let wantsBodies = true
    private var parcels: [String: Parcel] = [:]
    private var budget = Budget(Lesson08.storeLimit)
    /// Numbers that POST has used up, for each list.
    private var counters: [String: Int] = [:]

    func answer(_ request: RequestHead, body: [UInt8]) -> Reply {
        let known = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]
        let allow = [HTTPField("Allow", known.joined(separator: ", "))]
        guard known.contains(request.method) else { return .plain(405, allow) }
        if request.method == "OPTIONS" { return Reply(status: 204, fields: allow) }
        guard let names = pathNames(target: request.target) else { return .plain(400) }
        let key = names.isEmpty ? "/" : names.reduce("") { $0 + "/" + percentEncoded($1) }
        let type = request.fields["Content-Type"]

        if request.method == "PUT" { return put(key, type, body) }
        if request.method == "POST" {
            let list = key == "/" ? "" : key
            var new: String
            repeat {
                counters[list, default: 0] += 1
                new = "\(list)/\(counters[list]!)"
            } while parcels[new] != nil
            let reply = put(new, type, body)
            guard reply.status == 201 else { return reply }
            return Reply(status: 201, fields: [HTTPField("Location", new)])
        }
        guard let parcel = parcels[key] else { return .plain(404) }
        if request.method == "DELETE" {
            parcels[key] = nil
            budget.giveBack(parcel.bytes.count)
            return Reply(status: 204)
        }
        return Reply(
            status: 200, fields: [HTTPField("Content-Type", parcel.type)], content: .bytes(parcel.bytes))
    }

    private func put(_ key: String, _ type: String?, _ body: [UInt8]) -> Reply {
        guard budget.has(room: body.count) else { return .plain(507) }
        let old = parcels[key]
        if let old { budget.giveBack(old.bytes.count) }
        budget.take(body.count)
        let parcel = Parcel()
        parcel.bytes = body
        if let type { parcel.type = type }
        parcels[key] = parcel
        return Reply(status: old == nil ? 201 : 204)
    }
}
