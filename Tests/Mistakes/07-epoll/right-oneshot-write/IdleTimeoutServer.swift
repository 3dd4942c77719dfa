import Course
import Sockets

func idleTimeoutServer(host: String, port: UInt16, timeout: Milliseconds) throws {
    var shop = try OneShot(host: host, port: port)
    defer { shop.closeEverything() }
    /// Nobody is due before this moment; nil: nobody is there.
    var nextLook: Int?
    while true {
        let wait = nextLook.map { max(0, $0 - milliseconds()) } ?? -1
        guard try shop.round(atMost: wait) else { continue }
        let now = milliseconds()
        if let nextLook, now < nextLook { continue }
        // All are looked at only now: when somebody is due, or nobody was there before.
        var first: Int?
        for fd in shop.descriptors {
            // A full millisecond more: both times were cut off.
            let due = shop.heardAt(fd) + timeout + 1
            if due <= now { shop.sendAway(fd) } else { first = min(first ?? due, due) }
        }
        nextLook = first
    }
}
