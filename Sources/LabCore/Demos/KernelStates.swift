// What the kernel knows of TCP connections, as ss(8) shows it: /proc/net/tcp and /proc/net/tcp6 (proc(5)), which only Linux
// has.
import Course
import Foundation
import Sockets

/// One end of a connection, or a listener.
struct KernelSocket: Equatable {
    enum State: Int {
        case established = 1
        case synSent, synReceived, finWait1, finWait2, timeWait, close, closeWait, lastAck, listen, closing,
            newSynReceived

        /// As RFC 9293 writes it.
        var name: String {
            switch self {
            case .established: return "ESTABLISHED"
            case .synSent: return "SYN-SENT"
            case .synReceived, .newSynReceived: return "SYN-RECEIVED"
            case .finWait1: return "FIN-WAIT-1"
            case .finWait2: return "FIN-WAIT-2"
            case .timeWait: return "TIME-WAIT"
            case .close: return "CLOSED"
            case .closeWait: return "CLOSE-WAIT"
            case .lastAck: return "LAST-ACK"
            case .listen: return "LISTEN"
            case .closing: return "CLOSING"
            }
        }
    }

    var state: State
    var localPort: UInt16
    var remotePort: UInt16
    /// Until its timer goes off, in hundredths of a second; for TIME-WAIT how long it lasts yet.
    var timer: Int

    /// The TCP sockets that have this port at one of their ends; nil where the system does not tell.
    static func all(port: UInt16) -> [KernelSocket]? {
        guard let ipv4 = contents(of: "/proc/net/tcp") else { return nil }
        return parse(lines(of: ipv4, port)) + parse(lines(of: contents(of: "/proc/net/tcp6") ?? [], port))
    }

    /// The heading and the lines that have the port in them: a busy machine has thousands of others.
    private static func lines(of table: [UInt8], _ port: UInt16) -> String {
        let digits = String(port, radix: 16, uppercase: true)
        let needle = Data((":" + String(repeating: "0", count: 4 - digits.count) + digits + " ").utf8)
        let end = UInt8(ascii: "\n")
        var found = Array(table.prefix { $0 != end }) + [end]
        let data = Data(table)
        var start = found.count
        while start < data.count, let place = data.range(of: needle, in: start..<data.count) {
            let first = (table[..<place.lowerBound].lastIndex(of: end) ?? -1) + 1
            let last = table[place.lowerBound...].firstIndex(of: end) ?? table.count
            found += table[first..<last] + [end]
            start = last
        }
        return String(decoding: found, as: UTF8.self)
    }

    /// - Parameter table: a heading, and a line a socket: `0: 0100007F:2EE0 00000000:0000 0A 00000000:00000000 00:00000000 …`
    static func parse(_ table: String) -> [KernelSocket] {
        table.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 5, let local = port(fields[1]), let remote = port(fields[2]),
                let state = Int(fields[3], radix: 16).flatMap(State.init),
                let when = fields[5].split(separator: ":").last.flatMap({ Int($0, radix: 16) })
            else { return nil }
            return KernelSocket(state: state, localPort: local, remotePort: remote, timer: when)
        }
    }

    private static func port(_ address: Substring) -> UInt16? {
        address.split(separator: ":").last.flatMap { UInt16($0, radix: 16) }
    }

    /// FileManager asks for the size first, and files of /proc say 0.
    private static func contents(of path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(file, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }
}
