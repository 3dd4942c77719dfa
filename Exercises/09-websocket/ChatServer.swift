// Exercise 09 chat-server: what one says, all others hear.
//
// Calls that you need: those of EchoServer.swift.
// Read: Lessons/09-websocket/README.md#the-chat-server      Check: lab check 09 chat-server
import Course
import Sockets

/// Runs until the process ends.
func chatServer(host: String, port: UInt16, rules: ChatRules) throws {
    todo("step 1: a WebSocket server that knows its members")
}
