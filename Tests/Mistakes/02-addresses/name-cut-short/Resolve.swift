import Course
import Sockets

func resolve(name: String) throws(ResolveError) -> [String] {

    var hints = addrinfo()
    hints.ai_family = AF_UNSPEC
    hints.ai_socktype = SOCK_STREAM
    var first: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &hints, &first)
    guard code == 0 else { throw ResolveError(code: code) }
    defer { freeaddrinfo(first) }

    var addresses: [String] = []
    var next = first
    while let entry = next?.pointee {
        let text = try numericHost(entry)
        if !addresses.contains(text) { addresses.append(text) }
        next = entry.ai_next
    }
    return addresses
}

private func numericHost(_ entry: addrinfo) throws(ResolveError) -> String {
    var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
    let code = getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
    guard code == 0 else { throw ResolveError(code: code) }
    return text.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
}
