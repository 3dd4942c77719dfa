import Course
import Sockets

func resolve(name: String) throws -> [String] {
    guard name.utf8.allSatisfy({ $0 > 0 }) else { throw ResolveError(code: EAI_NONAME) }

    var hints = addrinfo()
    hints.ai_socktype = SOCK_STREAM
    hints.ai_family = AF_UNSPEC
    var entry: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(name, nil, &hints, &entry)
    if status != 0 { throw ResolveError(code: status) }
    defer { freeaddrinfo(entry) }

    var seen = Set<String>()
    var ordered: [String] = []
    while entry != nil {
        let one = entry!.pointee
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let result = getnameinfo(
            one.ai_addr, one.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        guard result == 0 else { throw ResolveError(code: result) }
        let length = text.firstIndex(of: 0) ?? text.count
        let address = String(decoding: text[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if seen.insert(address).inserted { ordered.append(address) }
        entry = one.ai_next
    }
    return ordered
}
