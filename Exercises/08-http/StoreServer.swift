// Exercise 08 store-server: keep what clients send, and give it back. The methods and their meanings.
//
//     PUT /a       201 if there was nothing at /a, 204 if it is replaced       GET /a       200 with what was put there
//     POST /list   201, and Location: the new place, below /list               HEAD /a      the same without the body
//     DELETE /a    204, and it is gone                                         OPTIONS /a   204 with Allow
//
// Read: Lessons/08-http/README.md#the-store      Check: lab check 08 store-server
// Try: swift run Lesson08 store-server --port 8000, then curl -v -T FILE http://127.0.0.1:8000/a
import Course
import Sockets

/// A store in memory: one for all clients, many of them at once. Runs until the process ends.
///
///   - A body comes back byte for byte, with the Content-Type that it came with (application/octet-stream if with none).
///   - GET, HEAD, DELETE where nothing is: 404. Other methods: 405, with Allow.
///   - A body over `Lesson08.bodyLimit`: 413. More than `Lesson08.storeLimit` in all: 507.
///   - `Expect: 100-continue`: say `HTTP/1.1 100 Continue` and an empty line before you wait for the body.
func storeServer(host: String, port: UInt16) throws {
    // Step 1: the connection is the same as in file-server. Can both use one function, given what answers a request?
    // Step 2: what do several threads do to a Dictionary? Protect it.
    // Step 3: PUT, GET, HEAD, DELETE.
    // Step 4: POST makes a new name below the target, where nothing is, and never the same one twice.
    // Step 5: OPTIONS, 404, 405, 413, 507.
    todo("step 1: socket, bind, listen")
}
