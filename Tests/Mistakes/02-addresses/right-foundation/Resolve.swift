import Course
import Foundation
import Sockets
func resolve(name: String) throws -> [String] {
    if name.utf8.contains(0) { throw ResolveError(code: EAI_NONAME) }
    var list: UnsafeMutablePointer<addrinfo>? = nil
    let e = getaddrinfo(name, "80", nil, &list)
    if e != 0 { throw ResolveError(code: e) }
    defer { freeaddrinfo(list) }
    let all = sequence(first: list!, next: { $0.pointee.ai_next }).map { p -> String in
        if p.pointee.ai_family == AF_INET {
            return p.pointee.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                try! formatAddress(withUnsafeBytes(of: $0.pointee.sin_addr) { Array($0) })
            }
        }
        return p.pointee.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
            try! formatAddress(withUnsafeBytes(of: $0.pointee.sin6_addr) { Array($0) })
        }
    }
    var seen = Set<String>(); return all.filter { seen.insert($0).inserted }
}
