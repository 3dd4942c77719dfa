import Course
import Sockets

func sharedServer(host: String, port: UInt16) throws {
    let share = RawOption("SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, Int32(1))
    try Service(host: host, port: port, options: [share]).run()
}
