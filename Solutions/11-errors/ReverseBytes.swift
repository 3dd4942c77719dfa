import Course
import Sockets

func reverseBytes(_ bytes: [UInt8]) throws -> [UInt8] {
    bytes.reversed()
}
