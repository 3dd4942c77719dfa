// Exercise 09 heartbeat: find out who is still there.
//
// Calls that you need: those of EchoServer.swift, and clock_gettime(2) with CLOCK_MONOTONIC.
// Read: Lessons/09-websocket/README.md#the-heartbeat      Check: lab check 09 heartbeat
import Course
import Sockets

/// Runs until the process ends: what echoServer does, and pings.
func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    // Step 1: share what echoServer does.
    todo("step 1: share the server")

    // Step 2: heartbeat.interval ms after its handshake, and then every interval, a client gets a ping frame with a payload
    //     of its own: a number that goes up, say. Not the text "ping": that would be a message.

    // Step 3: a pong with the payload of a ping answers that ping, and those before it. One that nobody asked for is no
    //     sign of life, and no error.

    // Step 4: a ping that has no answer heartbeat.timeout ms later: close the connection. Nobody is there to be told.

    // Step 5: wait in epoll_wait (poll, select) until the next of these times, not in short naps.
}
