// The fields of a head: one line each, and what is asked about them.
import Course

/// What is wrong with a message. Who reads requests turns it into a status, who reads responses into an error.
enum MessageError: Error, Equatable {
    /// Not HTTP, or it can be read in two ways.
    case malformed
    case startLineTooLong
    /// All fields together are too long, or they are too many.
    case fieldsTooLong
    case bodyTooLong
    /// A transfer coding other than chunked.
    case unknownCoding
    /// Not HTTP/1.
    case unknownVersion
}

/// `name: value` (RFC 9112 section 5).
///
/// A space before the colon, or in front of the name (the line folding of old), is what one server takes as part of the
/// name and another does not: two readings of one message are how a request is smuggled past a proxy. Refused.
func parseField(_ line: ArraySlice<UInt8>) throws -> HTTPField {
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else {
        throw MessageError.malformed
    }
    var name = line[..<colon]
    while let last = name.last, isBlank(last) { name.removeLast() }
    var value = line[(colon + 1)...]
    guard name.allSatisfy(isTokenByte), value.allSatisfy(isFieldByte) else { throw MessageError.malformed }
    while let first = value.first, isBlank(first) { value.removeFirst() }
    while let last = value.last, isBlank(last) { value.removeLast() }
    return HTTPField(String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
}

extension [HTTPField] {
    /// The value of the first field of this name.
    subscript(_ name: String) -> String? { first { equalsIgnoringCase($0.name, name) }?.value }

    /// The values of all fields of this name.
    func values(_ name: String) -> [String] {
        var values: [String] = []
        for field in self where equalsIgnoringCase(field.name, name) { values.append(field.value) }
        return values
    }

    /// The elements of a list field, which may be on one line or on several, in lower case: `Connection: Close, x` gives
    /// `close` and `x` (RFC 9110 section 5.6.1).
    func elements(_ name: String) -> [String] {
        var elements: [String] = []
        for field in self where equalsIgnoringCase(field.name, name) {
            for element in field.value.utf8.split(separator: UInt8(ascii: ",")) {
                let bytes = element.drop(while: isBlank).reversed().drop(while: isBlank).reversed()
                if !bytes.isEmpty { elements.append(String(decoding: bytes.map(lowercase), as: UTF8.self)) }
            }
        }
        return elements
    }
}

/// ASCII only: names of fields have no other letters.
func equalsIgnoringCase(_ left: String, _ right: String) -> Bool {
    left.utf8.count == right.utf8.count && zip(left.utf8, right.utf8).allSatisfy { lowercase($0) == lowercase($1) }
}

/// What methods and names of fields are made of (RFC 9110 section 5.6.2).
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "!"), UInt8(ascii: "#"),
        UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"), UInt8(ascii: "*"),
        UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"),
        UInt8(ascii: "|"), UInt8(ascii: "~"):
        return true
    default: return false
    }
}

/// Visible characters, spaces and tabs, and bytes over 127, which have no meaning here (RFC 9110 section 5.5).
private func isFieldByte(_ byte: UInt8) -> Bool { byte >= 32 && byte != 127 || byte == 9 }

private func isBlank(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }
