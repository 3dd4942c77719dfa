// The part of lesson 13's writev that is Swift's business, and not the network's.
import Sockets

/// Hands `body` an iovec (base and length) for each piece, as writev(2) and sendmsg(2) take them. Nothing is copied.
///
/// An array's bytes have an address only inside `withUnsafeBytes`, so these calls are nested, one in the other, and `body`
/// runs inside them all: the vectors must not be used after it.
public func withVectors<Result>(
    of pieces: ArraySlice<[UInt8]>, _ body: (inout [iovec]) throws -> Result
) rethrows -> Result {
    var vectors: [iovec] = []
    vectors.reserveCapacity(pieces.count)
    return try nest(pieces, &vectors, body)
}

private func nest<Result>(
    _ pieces: ArraySlice<[UInt8]>, _ vectors: inout [iovec], _ body: (inout [iovec]) throws -> Result
) rethrows -> Result {
    guard let piece = pieces.first else { return try body(&vectors) }
    return try piece.withUnsafeBytes { bytes in
        vectors.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count))
        return try nest(pieces.dropFirst(), &vectors, body)
    }
}
