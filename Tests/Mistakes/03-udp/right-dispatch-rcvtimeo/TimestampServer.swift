import Course
import Foundation
import Sockets

func timestampServer(host: String, port: UInt16) throws {
    try DispatchServer(host: host, port: port) { bytes in
        let now = Int64(Date().timeIntervalSince1970 * 1000)
        bytes.insert(contentsOf: "\(now) ".utf8, at: 0)
    }.run()
}
