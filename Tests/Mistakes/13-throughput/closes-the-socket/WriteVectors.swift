import Course
import Sockets

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    signal(SIGPIPE, SIG_IGN)
    let full = pieces.filter { !$0.isEmpty }
    var start = 0
    while start < full.count {
        let group = Array(full[start..<min(start + 1000, full.count)])
        try withPointers(to: group, 0, []) { try sendGroup(socket, $0) }
        start += group.count
    }
    close(socket)
}

/// Opens one array after another, so that all of them have an address at the same time.
private func withPointers(
    to pieces: [[UInt8]], _ index: Int, _ found: [iovec], _ body: ([iovec]) throws -> Void
) throws {
    if index == pieces.count { return try body(found) }
    try pieces[index].withUnsafeBytes {
        let vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        try withPointers(to: pieces, index + 1, found + [vector], body)
    }
}

private func sendGroup(_ socket: Int32, _ vectors: [iovec]) throws {
    var left = vectors[...]
    while !left.isEmpty {
        var count = left.withUnsafeBufferPointer { writev(socket, $0.baseAddress, Int32($0.count)) }
        if count == -1 {
            if errno == EINTR { continue }
            throw SocketError("writev", errno)
        }
        while let first = left.first, count >= first.iov_len {
            count -= first.iov_len
            left.removeFirst()
        }
        if count > 0 {
            left[left.startIndex].iov_base += count
            left[left.startIndex].iov_len -= count
        }
    }
}
