import Course
import Sockets

func forwardedClient(peer: String, fields: [HTTPField], trust: ProxyTrust) -> ForwardedClient {
    guard trust.proxies.contains(peer) else { return ForwardedClient(address: peer, scheme: "http") }
    func value(_ name: String) -> String? { fields.first { $0.name.lowercased() == name }?.value }
    let client = value("x-forwarded-for")?.split(separator: ",").first.map { $0.filter { $0 != " " } }
    let scheme = value("x-forwarded-proto") == "https" ? "https" : "http"
    return ForwardedClient(address: client ?? peer, scheme: scheme)
}
