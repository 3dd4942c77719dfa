import Course
import Sockets

// Everything of the lesson is here.

private func raw<Number>(_ number: Number) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }

private func bytes(of text: String, _ family: Int32, _ count: Int) -> [UInt8]? {
    guard !text.utf8.contains(0) else { return nil }
    var result = [UInt8](repeating: 0, count: count)
    return inet_pton(family, text, &result) == 1 ? result : nil
}

func parseAddress(_ text: String) throws -> [UInt8] {
    if let address = bytes(of: text, AF_INET6, 16) ?? bytes(of: text, AF_INET, 4) { return address }
    throw AddressError.notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws -> String {
    guard bytes.count == 4 || bytes.count == 16 else { throw AddressError.wrongLength(bytes.count) }
    var room = [UInt8](repeating: 0, count: 64)
    let written = room.withUnsafeMutableBytes { room in
        inet_ntop(
            bytes.count == 4 ? AF_INET : AF_INET6, bytes, room.baseAddress!.assumingMemoryBound(to: CChar.self),
            socklen_t(room.count))
    }
    guard written != nil else { throw AddressError.wrongLength(bytes.count) }
    return String(decoding: room.prefix { $0 != 0 }, as: UTF8.self)
}

func parseIPv4(_ text: String) -> [UInt8]? {
    var done: [UInt8] = []
    var current: Int?
    for byte in text.utf8 {
        switch (byte, current) {
        case (0x30...0x39, nil): current = Int(byte) - 0x30
        case (0x30...0x39, 0?): return nil  // a digit behind a leading zero
        case (0x30...0x39, let value?):
            let next = value * 10 + Int(byte) - 0x30
            guard next <= 255 else { return nil }
            current = next
        case (0x2E, let value?) where done.count < 3:
            done.append(UInt8(value))
            current = nil
        default: return nil
        }
    }
    guard done.count == 3, let last = current else { return nil }
    return done + [UInt8(last)]
}

func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    let address = try parseAddress(host)
    let wirePort = [UInt8(port >> 8), UInt8(port & 0xFF)]
    if address.count == 4 { return raw(sa_family_t(AF_INET)) + wirePort + address + [UInt8](repeating: 0, count: 8) }
    return raw(sa_family_t(AF_INET6)) + wirePort + [0, 0, 0, 0] + address + [0, 0, 0, 0]
}

func unixSocketAddress(path: String) throws -> [UInt8] {
    let name = Array(path.utf8)
    if name.isEmpty || name.contains(0) { throw AddressError.notAnAddress(path) }
    var structure = [UInt8](repeating: 0, count: MemoryLayout<sockaddr_un>.size)
    guard 2 + name.count + 1 <= structure.count else { throw AddressError.pathTooLong(name.count) }
    structure.replaceSubrange(0..<2, with: raw(sa_family_t(AF_UNIX)))
    structure.replaceSubrange(2..<(2 + name.count), with: name)
    return structure
}

func parseEndpoint(_ text: String) throws -> Endpoint {
    let all = Array(text.utf8)
    var end = all.count
    var port = 0
    var weight = 1
    // From the end: digits, then the colon.
    while end > 0, (0x30...0x39).contains(all[end - 1]), all.count - end < 5 {
        end -= 1
        port += weight * Int(all[end] - 0x30)
        weight *= 10
    }
    guard end < all.count, end > 0, all[end - 1] == 0x3A, port <= 65535 else { throw AddressError.notAnEndpoint(text) }
    let host = all[..<(end - 1)]
    if host.first == 0x5B {
        let inner = String(decoding: host.dropFirst().dropLast(), as: UTF8.self)
        guard host.count > 2, host.last == 0x5D, bytes(of: inner, AF_INET6, 16) != nil else {
            throw AddressError.notAnEndpoint(text)
        }
        return Endpoint(host: inner, port: UInt16(port))
    }
    let plain = String(decoding: host, as: UTF8.self)
    guard parseIPv4(plain) != nil else { throw AddressError.notAnEndpoint(text) }
    return Endpoint(host: plain, port: UInt16(port))
}

func resolve(name: String) throws -> [String] {
    if name.utf8.contains(0) { throw ResolveError(code: EAI_NONAME) }
    // All socket types are asked for, and what comes three times is kept once.
    var anything = addrinfo()
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(name, nil, &anything, &list)
    if code != 0 { throw ResolveError(code: code) }
    defer { freeaddrinfo(list) }
    return try sequence(first: list!, next: { $0.pointee.ai_next }).reduce(into: [String]()) { found, entry in
        var text = [CChar](repeating: 0, count: 1025)
        let code = getnameinfo(
            entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        if code != 0 { throw ResolveError(code: code) }
        let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if !found.contains(address) { found.append(address) }
    }
}

func describeSocket(_ descriptor: Int32) throws -> SocketDescription {
    // The peer first; what is wrong with the descriptor shows here as well.
    let peer = name(descriptor, getpeername)
    if case .failure(let error) = peer, error.code != ENOTCONN { throw error }
    let local = try name(descriptor, getsockname).get()
    var type: Int32 = 0
    var size = socklen_t(MemoryLayout.size(ofValue: type))
    if getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 { throw SocketError("getsockopt", errno) }
    return SocketDescription(
        type: type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "datagram" : "type \(type)", family: local.family,
        local: local.text, peer: (try? peer.get())?.text)
}

private func name(
    _ descriptor: Int32, _ ask: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
) -> Result<(family: String, text: String), SocketError> {
    let room = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 16)
    defer { room.deallocate() }
    room.initializeMemory(as: UInt8.self, repeating: 0, count: 128)
    var length: socklen_t = 128
    guard ask(descriptor, room.bindMemory(to: sockaddr.self, capacity: 8), &length) == 0 else {
        return .failure(SocketError("getsockname or getpeername", errno))
    }
    let got = Array(UnsafeRawBufferPointer(start: room, count: Int(length)))
    let family = Int32(room.loadUnaligned(as: sa_family_t.self))
    if family == AF_UNIX {
        return .success(("Unix", String(decoding: got.dropFirst(2).prefix { $0 != 0 }, as: UTF8.self)))
    }
    let port = Int(got[2]) << 8 | Int(got[3])
    if family == AF_INET { return .success(("IPv4", "\((try? formatAddress(Array(got[4..<8]))) ?? ""):\(port)")) }
    return .success(("IPv6", "[\((try? formatAddress(Array(got[8..<24]))) ?? "")]:\(port)"))
}
