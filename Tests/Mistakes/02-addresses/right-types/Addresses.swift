import Course
import Sockets

/// An address of either family, in network order.
enum Address {
    case v4(in_addr)
    case v6(in6_addr)

    init?(_ text: String) {
        guard text.utf8.firstIndex(of: 0) == nil else { return nil }
        var four = in_addr()
        var six = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self = .v4(four)
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            self = .v6(six)
        } else {
            return nil
        }
    }

    init?(_ bytes: [UInt8]) {
        switch bytes.count {
        case 4: self = .v4(bytes.withUnsafeBytes { $0.loadUnaligned(as: in_addr.self) })
        case 16: self = .v6(bytes.withUnsafeBytes { $0.loadUnaligned(as: in6_addr.self) })
        default: return nil
        }
    }

    var bytes: [UInt8] {
        switch self {
        case .v4(let address): withUnsafeBytes(of: address, Array.init)
        case .v6(let address): withUnsafeBytes(of: address, Array.init)
        }
    }

    var text: String {
        String(unsafeUninitializedCapacity: Int(INET6_ADDRSTRLEN)) { room in
            room.initialize(repeating: 0)
            let written: UnsafePointer<CChar>? = room.withMemoryRebound(to: CChar.self) { room in
                switch self {
                case .v4(var address): inet_ntop(AF_INET, &address, room.baseAddress!, socklen_t(room.count))
                case .v6(var address): inet_ntop(AF_INET6, &address, room.baseAddress!, socklen_t(room.count))
                }
            }
            return written == nil ? 0 : strlen(written!)
        }
    }
}

func parseAddress(_ text: String) throws -> [UInt8] {
    guard let address = Address(text) else { throw AddressError.notAnAddress(text) }
    return address.bytes
}

func formatAddress(_ bytes: [UInt8]) throws -> String {
    guard let address = Address(bytes) else { throw AddressError.wrongLength(bytes.count) }
    return address.text
}
