import Course
import Sockets

/// The two kinds of addresses that there are.
private enum Kind: CaseIterable {
    case v4, v6

    var family: Int32 { self == .v4 ? AF_INET : AF_INET6 }
    var byteCount: Int { self == .v4 ? 4 : 16 }
    /// 255.255.255.255 and ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
    var longestText: Int { self == .v4 ? 15 : 39 }

    func bytes(of text: String) -> [UInt8]? {
        var found = false
        let result = [UInt8](unsafeUninitializedCapacity: byteCount) { room, used in
            found = inet_pton(family, text, room.baseAddress) == 1
            used = found ? byteCount : 0
        }
        return found ? result : nil
    }

    func text(of bytes: [UInt8]) -> String {
        String(unsafeUninitializedCapacity: longestText) { room in
            let characters = UnsafeMutableRawPointer(room.baseAddress!).assumingMemoryBound(to: CChar.self)
            guard inet_ntop(family, bytes, characters, socklen_t(longestText)) != nil else { return 0 }
            return strlen(characters)
        }
    }
}

func parseAddress(_ text: String) throws(AddressError) -> [UInt8] {
    if text.utf8.allSatisfy({ $0 != 0 }) {
        for kind in Kind.allCases {
            if let bytes = kind.bytes(of: text) { return bytes }
        }
    }
    throw AddressError.notAnAddress(text)
}

func formatAddress(_ bytes: [UInt8]) throws(AddressError) -> String {
    for kind in Kind.allCases where kind.byteCount == bytes.count {
        return kind.text(of: bytes)
    }
    throw AddressError.wrongLength(bytes.count)
}
