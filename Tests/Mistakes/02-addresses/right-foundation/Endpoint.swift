import Course
import Foundation
func parseEndpoint(_ text: String) throws -> Endpoint {
    let parts = text.components(separatedBy: ":")
    let bad = AddressError.notAnEndpoint(text)
    guard parts.count >= 2, let last = parts.last, last.range(of: "^[0-9]{1,5}$", options: .regularExpression) != nil,
        !last.hasSuffix("\n"), let port = UInt16(last)
    else { throw bad }
    var host = parts.dropLast().joined(separator: ":")
    let v6 = host.hasPrefix("[") && host.hasSuffix("]")
    if v6 { host = String(host.dropFirst().dropLast()) }
    guard let b = try? parseAddress(host), b.count == (v6 ? 16 : 4) else { throw bad }
    return Endpoint(host: host, port: port)
}
