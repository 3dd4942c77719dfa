import Course
import Sockets

func resolve(name: String) throws -> [String] {
    guard !name.utf8.contains(0) else { throw ResolveError(code: EAI_NONAME) }
    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_protocol = Int32(IPPROTO_TCP)
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &hints, &first)
    guard code == 0 else { throw ResolveError(code: code) }
    var all: [String] = []
    var failure: Int32 = 0
    var next = first
    while let entry = next, failure == 0 {
        var room = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        failure = getnameinfo(
            entry.pointee.ai_addr, entry.pointee.ai_addrlen, &room, socklen_t(room.count), nil, 0, NI_NUMERICHOST)
        all.append(room.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
        next = entry.pointee.ai_next
    }
    freeaddrinfo(first)
    guard failure == 0 else { throw ResolveError(code: failure) }
    return all.enumerated().filter { place, text in all.firstIndex(of: text) == place }.map(\.element)
}
