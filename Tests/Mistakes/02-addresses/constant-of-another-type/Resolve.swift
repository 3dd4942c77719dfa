import Course
import Sockets

/// Owns what getaddrinfo has made.
private final class Resolution {
    private var head: UnsafeMutablePointer<addrinfo>?

    init(name: String) throws(ResolveError) {
        var wanted = addrinfo()
        wanted.ai_family = AF_UNSPEC
        wanted.ai_socktype = SOCK_STREAM
        wanted.ai_protocol = Int32(IPPROTO_TCP)
        var made: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &wanted, &made)
        guard code == 0 else { throw ResolveError(code: code) }
        head = made
    }

    deinit { if let head { freeaddrinfo(head) } }

    /// Copies: they are good for longer than the list is.
    var addresses: [SocketAddress] {
        sequence(first: head, next: { $0?.pointee.ai_next }).prefix { $0 != nil }.compactMap { entry in
            entry.flatMap {
                SocketAddress(
                    bytes: Array(UnsafeRawBufferPointer(start: $0.pointee.ai_addr, count: Int($0.pointee.ai_addrlen))))
            }
        }
    }
}

private func numericText(_ address: SocketAddress) throws(ResolveError) -> String {
    var room = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let code = address.withSockaddr {
        getnameinfo($0, $1, &room, socklen_t(room.count), nil, 0, NI_NUMERICHOST)
    }
    guard code == 0 else { throw ResolveError(code: code) }
    return String(decoding: room.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}

func resolve(name: String) throws(ResolveError) -> [String] {
    guard !name.utf8.contains(0) else { throw ResolveError(code: EAI_NONAME) }
    var seen = Set<String>()
    var result: [String] = []
    for address in try Resolution(name: name).addresses {
        let text = try numericText(address)
        if seen.insert(text).inserted { result.append(text) }
    }
    return result
}
