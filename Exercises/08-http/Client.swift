// Exercise 08 client: send a request, understand the answer; go on, try again, or give up.
//
//     GET /a?b=1 HTTP/1.1 CR LF           request line: method, path and query
//     Host: 127.0.0.1:8000 CR LF          field lines
//     CR LF                               the empty line; a body follows it
//
// Calls that you need: getaddrinfo(3), socket(2), connect(2), poll(2), send(2), recv(2), getsockopt(2), close(2).
// Read: Lessons/08-http/README.md#the-client      Check: lab check 08 client
// What each option means, and each error: Sources/Course/Lesson08+Client.swift
import Course
import Sockets

/// Sends requests one after another, and keeps connections open between them.
struct Client: HTTPClient {
    let options: ClientOptions

    // Step 7: the connections that wait for a next request, by host and port.

    init(options: ClientOptions) {
        self.options = options
    }

    /// - Parameter body: gets the body of the answer that is returned, and of no other, as it arrives.
    /// - Throws: `ClientError`, and what `body` throws.
    mutating func send(_ request: ClientRequest, body: ([UInt8]) throws -> Void) throws -> ClientResponse {
        // Step 1: take the URL apart: host, port, path and query. Refuse what is none, and what would break the request.
        todo("step 1: the URL")

        // Step 2: connect: each address of the host in turn, without waiting longer than options.timeout.

        // Step 3: send the request: line, Host, the caller's fields, type and length of the body, an empty line, the body.

        // Step 4: receive the head of the answer, however it is cut: status line, fields, empty line. Pass over 1xx.

        // Step 5: receive its body: none, so many bytes, chunks, or until the connection ends. Hand on what comes, as it comes.

        // Step 6: put a limit on everything: each wait, all waits together, the head, the body.

        // Step 7: keep the connection if the next request can use it. Before you use it: is it still alive?

        // Step 8: 301, 302, 303, 307, 308: go where Location says, with the right method.

        // Step 9: 429, 500, 502, 503, 504, a broken connection: wait, and try again what may be repeated.
    }
}
