import Course
import Dispatch
import Sockets

func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    try withDatagramSocket("127.255.255.255", port) { fd, all in
        try mayBroadcast(fd)
        try say(Array("WHO IS THERE?".utf8), on: fd, to: all)
        let deadline = DispatchTime.now() + .milliseconds(timeout)
        var found: [String: Discovered] = [:]
        while let (bytes, sender) = try hear(fd, by: deadline) {
            guard let sender, found[sender.description] == nil else { continue }
            found[sender.description] = Discovered(host: sender.host, port: sender.port, answer: bytes)
        }
        return Array(found.values)
    }
}
