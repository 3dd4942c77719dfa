import Course
import Foundation
import Sockets
func socketAddress(host: String, port: UInt16) throws -> [UInt8] {
    let a = try parseAddress(host)
    var d = Data()
    var family = UInt16(a.count == 4 ? AF_INET : AF_INET6)
    d.append(Data(bytes: &family, count: 2))
    d.append(contentsOf: [UInt8(port >> 8), UInt8(port & 255)])
    if a.count == 16 { d.append(Data(count: 4)) }
    d.append(contentsOf: a)
    d.append(Data(count: a.count == 4 ? 8 : 4))
    return [UInt8](d)
}
func unixSocketAddress(path: String) throws -> [UInt8] {
    if path == "" || path.unicodeScalars.contains("\0") { throw AddressError.notAnAddress(path) }
    var s = sockaddr_un()
    s.sun_family = sa_family_t(AF_UNIX)
    if strlen(path) > 107 { throw AddressError.pathTooLong(strlen(path)) }
    withUnsafeMutablePointer(to: &s.sun_path) { p in
        p.withMemoryRebound(to: CChar.self, capacity: 108) { _ = strcpy($0, path) }
    }
    return Data(bytes: &s, count: MemoryLayout<sockaddr_un>.size).map { $0 }
}
