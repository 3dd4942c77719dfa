// Exercise 12 broadcast-hub: connections that all get the same messages, from many threads at once, without a deadlock.
//
// Calls that you need: NSLock, send(2), shutdown(2); NSCondition and Thread, or MSG_DONTWAIT.
// The server around it is there: a thread for each connection calls join, then broadcast for each line, and leave at the end.
// Read: Lessons/12-concurrency/README.md#the-hub      Check: lab check 12 broadcast-hub
// Try:  swift run Lesson12 broadcast-hub --port 12000     and in two other windows:  nc 127.0.0.1 12000
import Course
import Foundation
import Sockets

final class BroadcastHub: MessageHub, @unchecked Sendable {
    // Step 1: a list of the members, and a lock that guards it.

    /// From now on the connection gets every message.
    func join(_ connection: Int32) {
        todo("step 2: add it to the list")
    }

    /// When it returns, the hub does not use the connection any more: the caller closes it, and its number may come again.
    func leave(_ connection: Int32) {
        todo("step 3: take it out of the list")
    }

    /// To all members, the sender among them: whole, in order, and without waiting for any of them.
    func broadcast(_ message: [UInt8]) {
        // Step 4: to each member. What is locked meanwhile? What if a send fails, and the member has to be removed?
        todo("step 4: send it to everybody")

        // Step 5: what if a member does not read, and send would wait? Messages can be kept for it, up to a bound, and sent by
        //     a thread of its own; or it is thrown out:  shutdown(connection, SHUT_RDWR)
    }
}
