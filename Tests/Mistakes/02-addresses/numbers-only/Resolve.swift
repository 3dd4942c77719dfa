import Course
import Sockets

func resolve(name: String) throws(ResolveError) -> [String] {
    // As in parseAddress: what follows a zero byte would not be looked up.
    guard !name.utf8.contains(0) else { throw ResolveError(code: EAI_NONAME) }

    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_flags = AI_NUMERICHOST
    // Each entry is meant for a socket() call, so without a type every address comes once for each type.
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &hints, &first)
    // The answer is the error: errno is set only where it is EAI_SYSTEM (getaddrinfo(3)).
    guard code == 0 else { throw ResolveError(code: code) }
    defer { freeaddrinfo(first) }

    var addresses: [String] = []
    var next = first
    while let entry = next?.pointee {
        let text = try numericHost(entry)
        // /etc/hosts may give one address twice. The order stays: the best one is first (RFC 6724).
        if !addresses.contains(text) { addresses.append(text) }
        next = entry.ai_next
    }
    return addresses
}

/// The text of an entry's address, whatever its family: `127.0.0.1`, `::1`, `fe80::1%eth0`.
private func numericHost(_ entry: addrinfo) throws(ResolveError) -> String {
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let code = getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
    guard code == 0 else { throw ResolveError(code: code) }
    return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
