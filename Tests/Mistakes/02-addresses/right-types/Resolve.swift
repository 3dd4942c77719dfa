import Course
import Sockets

func resolve(name: String) throws -> [String] {
    if name.unicodeScalars.contains("\0") { throw ResolveError(code: EAI_NONAME) }
    var hints = addrinfo()
    hints.ai_protocol = Int32(IPPROTO_UDP)
    hints.ai_socktype = SOCK_DGRAM
    var head: UnsafeMutablePointer<addrinfo>?
    switch getaddrinfo(name, nil, &hints, &head) {
    case 0: break
    case let code: throw ResolveError(code: code)
    }
    defer { if let head { freeaddrinfo(head) } }
    var seen: Set<String> = []
    var texts: [String] = []
    var entry = head
    while let current = entry {
        entry = current.pointee.ai_next
        var room = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = getnameinfo(
            current.pointee.ai_addr, current.pointee.ai_addrlen, &room, socklen_t(room.count), nil, 0,
            NI_NUMERICHOST | NI_NUMERICSERV)
        guard code == 0 else { throw ResolveError(code: code) }
        let text = room.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        // The Set only remembers; the order is that of the list.
        if seen.insert(text).inserted { texts.append(text) }
    }
    return texts
}
