import Course
import Sockets

/// The list that getaddrinfo made. It goes back when nobody holds it any more.
private final class AddressList: Sequence {
    private let first: UnsafeMutablePointer<addrinfo>?

    init(_ name: String) throws(ResolveError) {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = SOCK_STREAM
        while true {
            var list: UnsafeMutablePointer<addrinfo>?
            let code = getaddrinfo(name, nil, &hints, &list)
            switch code {
            case 0:
                first = list
                return
            case EAI_AGAIN:
                // The name server is busy. That passes.
                sleep(1)
            default:
                throw ResolveError(code: code)
            }
        }
    }

    deinit { freeaddrinfo(first) }

    func makeIterator() -> AnyIterator<UnsafeMutablePointer<addrinfo>> {
        var next = first
        // The iterator holds the list, so that it is not given back under it.
        return AnyIterator {
            withExtendedLifetime(self) {
                defer { next = next?.pointee.ai_next }
                return next
            }
        }
    }
}

private func text(of entry: addrinfo) throws(ResolveError) -> String {
    var room = [CChar](repeating: 0, count: 1025)
    let code = getnameinfo(entry.ai_addr, entry.ai_addrlen, &room, socklen_t(room.count), nil, 0, NI_NUMERICHOST)
    if code != 0 { throw ResolveError(code: code) }
    return String(decoding: room.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func resolve(name: String) throws(ResolveError) -> [String] {
    if name.utf8.contains(0) { throw ResolveError(code: EAI_NONAME) }
    let list = try AddressList(name)
    var seen: Set<String> = []
    var inOrder: [String] = []
    for entry in list {
        let address = try text(of: entry.pointee)
        if seen.insert(address).inserted { inOrder.append(address) }
    }
    return inOrder
}
