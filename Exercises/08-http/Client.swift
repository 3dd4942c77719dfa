// Exercise 08 client: send a request, understand the answer.
//
// Calls that you need: getaddrinfo(3), socket(2), connect(2), send(2), recv(2), poll(2), close(2).
// Read: Lessons/08-http/README.md#the-client      Check: lab check 08 client
import Course
import Sockets

/// Sends requests one after another, and keeps connections open between them.
struct Client: HTTPClient {
    let options: ClientOptions

    init(options: ClientOptions) {
        self.options = options
    }

    /// Sends a request, follows redirects, and hands the body of the answer to `body` as it arrives.
    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        todo("step 1: the URL: host, port, path")
    }
}
