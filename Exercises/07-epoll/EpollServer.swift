// Exercise 07 epoll-server: upper case for thousands of clients in one thread.
//
// Calls that you need, besides those of lesson 06: epoll_create1(2), epoll_ctl(2), epoll_wait(2). (On macOS: kqueue(2).)
// Read: Lessons/07-epoll/README.md#the-level-triggered-server      Check: lab check 07 epoll-server
import Course
import Sockets

/// Runs until the process ends. No thread, no child: epoll says whom to serve next.
///
/// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
/// - Parameter port: in host order; 0 lets the kernel choose.
/// - Throws: `SocketError` if it cannot listen there. What goes wrong with one client is not thrown.
func epollServer(host: String, port: UInt16) throws {
    // Step 1: make a non-blocking listening socket, as in lesson 06, and an epoll descriptor; add the listener to it:
    //     var event = epoll_event(events: EPOLLIN.rawValue, data: epoll_data_t(fd: listener))
    //     epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event)
    todo("step 1: make a listening socket and an epoll descriptor")

    // Step 2: for ever: epoll_wait for the next events: events[i].data.fd says who, events[i].events what.

    // Step 3: the listener: accept until EAGAIN; make each client non-blocking, and add it for EPOLLIN.

    // Step 4: EPOLLIN, or EPOLLERR or EPOLLHUP, which come unasked: receive once; 0 or an error is the client's end.
    //     What send does not take stays pending.

    // Step 5: EPOLL_CTL_MOD: ask for EPOLLOUT only while something is pending for a client, and for EPOLLIN only while not
    //     too much is.
}
