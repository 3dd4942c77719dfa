import Course
import Sockets

/// The two kinds of addresses.
enum AddressFamily: CaseIterable {
    case v4, v6

    var code: Int32 { self == .v4 ? AF_INET : AF_INET6 }
    var byteCount: Int { self == .v4 ? MemoryLayout<in_addr>.size : MemoryLayout<in6_addr>.size }
}

/// An address as the network carries it.
struct NumericAddress {
    let family: AddressFamily
    let bytes: [UInt8]

    init?(_ text: String) {
        guard text.utf8.allSatisfy({ $0 != 0 }) else { return nil }
        for family in AddressFamily.allCases {
            var status: Int32 = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: family.byteCount) { room, count in
                status = inet_pton(family.code, text, room.baseAddress)
                count = status == 1 ? family.byteCount : 0
            }
            if status == 1 {
                (self.family, self.bytes) = (family, bytes)
                return
            }
        }
        return nil
    }

    init?(bytes: [UInt8]) {
        guard let family = AddressFamily.allCases.first(where: { $0.byteCount == bytes.count }) else { return nil }
        (self.family, self.bytes) = (family, bytes)
    }

    var text: String {
        String(unsafeUninitializedCapacity: Int(INET6_ADDRSTRLEN)) { room in
            room.withMemoryRebound(to: CChar.self) { characters in
                guard inet_ntop(family.code, bytes, characters.baseAddress, socklen_t(characters.count)) != nil else {
                    return 0
                }
                return strlen(characters.baseAddress!)
            }
        }
    }
}

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    guard let address = NumericAddress(text) else { throw .notAnAddress(text) }
    return address.bytes
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    guard let address = NumericAddress(bytes: bytes) else { throw .wrongLength(bytes.count) }
    return address.text
}
