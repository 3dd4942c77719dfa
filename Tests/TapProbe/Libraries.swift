// Sockets used by shared libraries on the program's behalf: none of these calls are the program's own.
import Course
import Dispatch
import Foundation
import Sockets

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

let libraryEntries: [Entry] = [
    .function("dispatch-source") { _ in try dispatchSource() },
    .function("file-handle") { _ in try fileHandle() },
    .function("url-session") { try urlSession($0.string(0)) },
    .function("thread-of-foundation") { _ in threadOfFoundation() },
]

/// libdispatch waits for the socket in an `epoll_wait` of its own.
private func dispatchSource() throws -> Value {
    let (client, server) = try connectedPair()
    let arrived = DispatchSemaphore(value: 0)
    let source = DispatchSource.makeReadSource(fileDescriptor: server, queue: DispatchQueue(label: "probe"))
    nonisolated(unsafe) var got: [UInt8] = []
    source.setEventHandler {
        var buffer = [UInt8](repeating: 0, count: 10)
        let count = recv(server, &buffer, 10, 0)
        got += buffer.prefix(max(0, count))
        arrived.signal()
    }
    source.activate()
    for letter in ["a", "b", "c"] {
        send(client, letter, 1, MSG_NOSIGNAL)
        arrived.wait()
    }
    source.cancel()
    return .bytes(got)
}

private func fileHandle() throws -> Value {
    let (client, server) = try connectedPair()
    try FileHandle(fileDescriptor: client).write(contentsOf: Data("handled".utf8))
    close(client)
    return .bytes(Array(try FileHandle(fileDescriptor: server).readToEnd() ?? Data()))
}

private func urlSession(_ address: String) throws -> Value {
    let done = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var body = Data()
    nonisolated(unsafe) var failure: (any Error)?
    guard let url = URL(string: address) else { throw ArgumentError(description: "not a URL") }
    URLSession.shared.dataTask(with: url) { data, _, error in
        body = data ?? Data()
        failure = error
        done.signal()
    }.resume()
    done.wait()
    if let failure { throw failure }
    return .bytes(Array(body))
}

/// The thread is Foundation's, the calls on it are the program's.
private func threadOfFoundation() -> Value {
    let done = DispatchSemaphore(value: 0)
    Thread {
        close(socket(AF_INET, SOCK_DGRAM, 0))
        done.signal()
    }.start()
    done.wait()
    return .none
}
