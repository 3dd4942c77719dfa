import Course
import Sockets

/// A list that getaddrinfo has made. It goes back when nobody needs it any more.
private final class AddressList: Sequence {
    private let first: UnsafeMutablePointer<addrinfo>?

    init(name: String) throws {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = SOCK_STREAM
        var list: UnsafeMutablePointer<addrinfo>?
        var code = getaddrinfo(name, nil, &hints, &list)
        // "Perhaps later": the name server did not answer in time. A moment, and ask again.
        while code == EAI_AGAIN {
            usleep(100_000)
            code = getaddrinfo(name, nil, &hints, &list)
        }
        guard code == 0 else { throw ResolveError(code: code) }
        first = list
    }

    deinit { freeaddrinfo(first) }

    func makeIterator() -> AnyIterator<addrinfo> {
        var next = first
        return AnyIterator {
            defer { next = next?.pointee.ai_next }
            return next?.pointee
        }
    }
}

func resolve(name: String) throws -> [String] {
    if name.utf8.contains(0) { throw ResolveError(code: EAI_NONAME) }
    let list = try AddressList(name: name)
    return try withExtendedLifetime(list) {
        var texts: [String] = []
        var seen: Set<String> = []
        for entry in list {
            var room = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let code = getnameinfo(
                entry.ai_addr, entry.ai_addrlen, &room, socklen_t(room.count), nil, 0, NI_NUMERICHOST)
            guard code == 0 else { throw ResolveError(code: code) }
            let text = String(cString: room)
            if seen.insert(text).inserted { texts.append(text) }
        }
        return texts
    }
}
