/// Lesson 01: byte order. Numbers in memory, and numbers on the wire.
public struct Lesson01: LessonContract {
    public static let slug = "01-byte-order"

    public var hostToNetwork16: (UInt16) -> UInt16
    public var hostToNetwork32: (UInt32) -> UInt32
    public var hostToNetwork64: (UInt64) -> UInt64
    public var networkToHost16: (UInt16) -> UInt16
    public var networkToHost32: (UInt32) -> UInt32
    public var networkToHost64: (UInt64) -> UInt64
    public var hostIsLittleEndian: () -> Bool
    /// 16 bytes, big-endian.
    public var encodeHeader: (Header) -> [UInt8]
    /// - Throws: `HeaderError`.
    public var decodeHeader: (ArraySlice<UInt8>) throws -> Header
    /// RFC 1071.
    public var internetChecksum: ([UInt8]) -> UInt16

    public init(
        hostToNetwork16: @escaping (UInt16) -> UInt16,
        hostToNetwork32: @escaping (UInt32) -> UInt32,
        hostToNetwork64: @escaping (UInt64) -> UInt64,
        networkToHost16: @escaping (UInt16) -> UInt16,
        networkToHost32: @escaping (UInt32) -> UInt32,
        networkToHost64: @escaping (UInt64) -> UInt64,
        hostIsLittleEndian: @escaping () -> Bool,
        encodeHeader: @escaping (Header) -> [UInt8],
        decodeHeader: @escaping (ArraySlice<UInt8>) throws -> Header,
        internetChecksum: @escaping ([UInt8]) -> UInt16
    ) {
        self.hostToNetwork16 = hostToNetwork16
        self.hostToNetwork32 = hostToNetwork32
        self.hostToNetwork64 = hostToNetwork64
        self.networkToHost16 = networkToHost16
        self.networkToHost32 = networkToHost32
        self.networkToHost64 = networkToHost64
        self.hostIsLittleEndian = hostIsLittleEndian
        self.encodeHeader = encodeHeader
        self.decodeHeader = decodeHeader
        self.internetChecksum = internetChecksum
    }

    public var entries: [Entry] {
        [
            .function("host-to-network-16") { .unsigned(UInt64(hostToNetwork16(try $0.unsigned(0)))) },
            .function("host-to-network-32") { .unsigned(UInt64(hostToNetwork32(try $0.unsigned(0)))) },
            .function("host-to-network-64") { .unsigned(hostToNetwork64(try $0.unsigned(0))) },
            .function("network-to-host-16") { .unsigned(UInt64(networkToHost16(try $0.unsigned(0)))) },
            .function("network-to-host-32") { .unsigned(UInt64(networkToHost32(try $0.unsigned(0)))) },
            .function("network-to-host-64") { .unsigned(networkToHost64(try $0.unsigned(0))) },
            .function("host-is-little-endian") { _ in .bool(hostIsLittleEndian()) },
            .function("encode-header") { arguments in .bytes(encodeHeader(try Header(fields: arguments))) },
            // The second argument is where the header starts in the array: a slice need not start at 0.
            .function("decode-header") { arguments in
                let bytes = try arguments.bytes(0)
                return .list(try decodeHeader(bytes[(try arguments.int(1))...]).fields)
            },
            .function("internet-checksum") { .unsigned(UInt64(internetChecksum(try $0.bytes(0)))) },
        ]
    }
}

/// The header of this lesson's protocol, 16 bytes on the wire, every number big-endian:
///
///     offset  0        1     2      4         8
///             version  kind  length sequence  timestamp
///             u8       u8    u16    u32       u64
public struct Header: Equatable, Sendable {
    public static let size = 16
    public static let currentVersion: UInt8 = 1

    public var version: UInt8
    public var kind: UInt8
    public var length: UInt16
    public var sequence: UInt32
    public var timestamp: UInt64

    public init(version: UInt8, kind: UInt8, length: UInt16, sequence: UInt32, timestamp: UInt64) {
        self.version = version
        self.kind = kind
        self.length = length
        self.sequence = sequence
        self.timestamp = timestamp
    }

    public init(fields: [Value]) throws {
        self.init(
            version: try fields.unsigned(0), kind: try fields.unsigned(1), length: try fields.unsigned(2),
            sequence: try fields.unsigned(3), timestamp: try fields.unsigned(4))
    }

    public var fields: [Value] {
        [
            .unsigned(UInt64(version)), .unsigned(UInt64(kind)), .unsigned(UInt64(length)),
            .unsigned(UInt64(sequence)), .unsigned(timestamp),
        ]
    }
}

/// Why some bytes are not a header.
public enum HeaderError: Error, Equatable, Sendable {
    /// Fewer than 16 bytes.
    case truncated(count: Int)
    /// More than 16 bytes.
    case tooLong(count: Int)
    /// A version other than 1.
    case unknownVersion(UInt8)
}
