// Exercise 07 edge-triggered-server: the same, but the kernel tells you of everything only once.
//
// Calls that you need: those of EpollServer.swift, with EPOLLET.
// Read: Lessons/07-epoll/README.md#edge-triggered      Check: lab check 07 edge-triggered-server
import Course
import Sockets

/// Runs until the process ends, as `epollServer` does.
func edgeTriggeredServer(host: String, port: UInt16) throws {
    // Step 1: as in epollServer, but with EPOLLET for the listener:  EPOLLIN.rawValue | EPOLLET.rawValue
    todo("step 1: make a listening socket, and add it edge-triggered")

    // Step 2: the listener: accept until EAGAIN. One edge may stand for fifty clients. Add each with EPOLLIN, EPOLLOUT and
    //     EPOLLET, once and for all.

    // Step 3: a client: receive until EAGAIN (or until too much is pending), send until EAGAIN (or nothing is pending).

    // Step 4: you stopped receiving because too much was pending, and then send made room: receive on. What lies in the
    //     buffer has had its edge, and there will be no other.
}
