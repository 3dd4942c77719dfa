import Course
import Sockets

/// Runs until the process ends.
func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    todo("step 1: a WebSocket server that knows its members")
}
