// Exercise 09 heartbeat: find out who is still there.
//
// Calls that you need: those of EchoServer.swift, and clock_gettime(2) with CLOCK_MONOTONIC.
// Read: Lessons/09-websocket/README.md#the-heartbeat      Check: lab check 09 heartbeat
import Course
import Sockets

/// Runs until the process ends: an echo server that pings.
func heartbeatServer(host: String, port: UInt16, heartbeat: Heartbeat) throws {
    todo("step 1: an echo server that pings its clients")
}
