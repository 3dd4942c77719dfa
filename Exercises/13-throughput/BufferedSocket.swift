// Exercise 13 buffered-socket: many small reads and writes, few calls.
//
//     recv gives     "GET\nHost: a\n\nBOD"        write "a", write "b", … write "z", flush
//     you hand out   "GET"  "Host: a"  ""  …      send "abc…z"
//
// Calls that you need: recv(2), send(2).
// Read: Lessons/13-throughput/README.md      Check: lab check 13 buffered-socket
import Course
import Sockets

/// What each function promises stands at `BufferedStream` in Sources/Course/Lesson13.swift.
final class BufferedSocket: BufferedStream {
    private let socket: Int32
    private let capacity: Int

    /// - Parameter capacity: how many bytes to ask recv for, how many to gather before send is called, and how long a line
    ///   may be.
    init(socket: Int32, capacity: Int) {
        self.socket = socket
        self.capacity = capacity
    }

    func readLine() throws -> [UInt8]? {
        // Step 1: is there a whole line in your buffer? If not, recv up to `capacity` bytes behind what you have, and look
        //     again. What follows the line stays for the next read.
        todo("step 1: lines")
    }

    func readExactly(_ count: Int) throws -> [UInt8] {
        // Step 2: the same buffer, the same recv. If the stream ends first: StreamError.ended(received: …).
        todo("step 2: so many bytes")
    }

    func write(_ bytes: [UInt8]) throws {
        // Step 3: gather the bytes. Flush when there are `capacity` or more.
        todo("step 3: gather")
    }

    func flush() throws {
        // Step 4: send all that has gathered, however little send takes at a time. If it fails, which bytes must still be in
        //     the buffer afterwards?
        todo("step 4: send what has gathered")
    }
}
