import Course
import Sockets

/// A queue of what is left to send: a piece, and from where on.
private struct Backlog: Sequence {
    struct Item {
        let piece: Int
        var from: Int
    }

    private let pieces: [[UInt8]]
    private var head: Item?

    init(_ pieces: [[UInt8]]) {
        self.pieces = pieces
        head = nil
        head = next(after: -1)
    }

    var isEmpty: Bool { head == nil }

    /// The next piece that is not empty.
    private func next(after piece: Int) -> Item? {
        pieces.indices.dropFirst(piece + 1).first { !pieces[$0].isEmpty }.map { Item(piece: $0, from: 0) }
    }

    func makeIterator() -> AnyIterator<Item> {
        var upcoming = head
        return AnyIterator {
            defer { upcoming = upcoming.flatMap { next(after: $0.piece) } }
            return upcoming
        }
    }

    mutating func remove(_ count: Int) {
        var count = count
        while let item = head {
            let left = pieces[item.piece].count - item.from
            if count < left {
                head = Item(piece: item.piece, from: item.from + count)
                return
            }
            count -= left
            head = next(after: item.piece)
        }
    }
}

func writeVectors(socket: Int32, pieces: [[UInt8]]) throws {
    var backlog = Backlog(pieces)
    while !backlog.isEmpty {
        let batch = Array(backlog.prefix(1024))
        // All from the first to the last, with the empty ones between them: these are not handed on.
        let range = batch[0].piece...batch[batch.count - 1].piece
        let outcome: (count: Int, code: Int32) = withVectors(of: pieces[range]) { vectors in
            var list = batch.map { item in
                let whole = vectors[item.piece - range.lowerBound]
                return iovec(iov_base: whole.iov_base + item.from, iov_len: whole.iov_len - item.from)
            }
            return list.withUnsafeMutableBufferPointer {
                var message = msghdr()
                message.msg_iov = $0.baseAddress
                message.msg_iovlen = .init($0.count)
                let count = sendmsg(socket, &message, MSG_NOSIGNAL)
                return (count, count < 0 ? errno : 0)
            }
        }
        switch outcome.code {
        case 0: backlog.remove(outcome.count)
        case EINTR: continue
        default: throw SocketError("sendmsg", outcome.code)
        }
    }
}
