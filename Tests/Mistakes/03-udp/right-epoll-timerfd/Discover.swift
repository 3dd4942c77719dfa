import Course
import Sockets

func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    let client = try shout(Array("WHO IS THERE?".utf8), port)
    defer { close(client) }
    return try withPatience(client) { patience in
        try patience.reset(timeout)
        var found: [Discovered] = []
        var room = [UInt8](repeating: 0, count: 1 << 16)
        while let (bytes, sender) = try patience.datagram(client, &room) {
            guard let sender, !found.contains(where: { $0.port == sender.port && $0.host == sender.host }) else {
                continue
            }
            found.append(Discovered(host: sender.host, port: sender.port, answer: Array(bytes)))
        }
        return found
    }
}
