import Course

func parseEndpoint(_ text: String) throws -> Endpoint {
    func refuse() -> AddressError { .notAnEndpoint(text) }
    let scalars = Array(text.unicodeScalars)
    guard let colon = scalars.lastIndex(of: ":") else { throw refuse() }
    let (left, right) = (scalars[..<colon], scalars[(colon + 1)...])
    guard (1...5).contains(right.count), right.allSatisfy({ ("0"..."9").contains($0) }) else { throw refuse() }
    let number = right.reduce(UInt32(0)) { $0 * 10 + ($1.value - 48) }
    guard let port = UInt16(exactly: number) else { throw refuse() }

    func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars)
        return String(text)
    }
    if left.count >= 2, left.first == "[", left.last == "]" {
        let host = string(left.dropFirst().dropLast())
        guard case .v6? = Address(host) else { throw refuse() }
        return Endpoint(host: host, port: port)
    }
    let host = string(left)
    guard case .v4? = Address(host) else { throw refuse() }
    return Endpoint(host: host, port: port)
}
