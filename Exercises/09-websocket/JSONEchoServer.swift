// Exercise 09 json-echo-server: a protocol of your own on top of the messages.
//
// Calls that you need: those of EchoServer.swift; JSONSerialization or JSONDecoder for the rest.
// Read: Lessons/09-websocket/README.md#json-on-top      Check: lab check 09 json-echo-server
import Course
import Foundation
import Sockets

/// Runs until the process ends; serves many clients at once.
///
///     {"data": "hello", "timestamp": 1700000000.5}   is answered by
///     {"type": "echo", "data": "HELLO", "timestamp": 1700000000.5}
func jsonEchoServer(host: String, port: UInt16) throws {
    // Step 1: share what echoServer does, all but the answer to a message.
    todo("step 1: share the server")

    // Step 2: a text that is a JSON object: `data` is a string, answer it in upper case ("" if there is none);
    //     `timestamp` is whatever it is, answer it unchanged (null if there is none).

    // Step 3: a text that is no such thing: answer {"type": "error", "message": "…"}, and stay connected.

    // Step 4: a binary message: close with code 1003, "unsupported data".
}
