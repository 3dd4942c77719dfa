// Exercise 16 ws-back-end: a WebSocket echo that lives behind a proxy which cuts what is silent.
//
// Calls that you need: as for back-end; poll(2) has a timeout: the time until the next ping.
// Given: the handshake and the frames of lesson 09. Yours do as well: copy the files into this folder.
//     Solution09.reference.serverHandshake(received, nil)          // .incomplete, .accepted, .refused
//     var decoder = Solution09.reference.makeFrameDecoder(.server, 1 << 20)
//     Solution09.reference.encodeFrame(.text, payload, true, nil)  // the bytes of one frame
// Read: Lessons/16-production/README.md#a-heartbeat-for-the-proxy
// Check: lab check 16 ws-back-end
import Course
import Foundation
import Solution09
import Sockets

/// Returns when `stop` has become readable and everybody was told.
///
/// - Parameter proxyTimeout: the proxy cuts a connection when nothing came from this server for so long (ms).
/// - Throws: `SocketError` if the socket cannot be made or bound.
func webSocketBackEnd(host: String, port: UInt16, proxyTimeout: Milliseconds, stop: Int32) throws {
    // Step 1: listen, accept, a thread for each client, as in back-end.
    todo("step 1: socket, bind, listen, poll, accept")

    // Step 2: the handshake; then messages back as they came, pong for ping, close for close.
    // todo("step 2: echo")

    // Step 3: a ping (opcode 9) often enough that the proxy never waits for proxyTimeout; not more than ten times in it.
    // todo("step 3: pings")

    // Step 4: stop: a close frame with code 1001 to each client; then only its close frame is waited for, at most
    // Lesson16.stopPatience milliseconds.
    // todo("step 4: going away")
}
