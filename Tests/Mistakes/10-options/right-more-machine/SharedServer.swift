import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    try serve(host: host, port: port, with: [.SO_REUSEADDR, .SO_REUSEPORT])
}
