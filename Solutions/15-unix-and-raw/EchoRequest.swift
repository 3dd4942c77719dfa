import Sockets

/// Type 8, code 0, checksum, identifier, sequence, payload; numbers big-endian (RFC 792).
func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var message: [UInt8] = [8, 0, 0, 0]
    for number in [identifier, sequence] { message += [UInt8(number >> 8), UInt8(number & 0xFF)] }
    message += payload
    // Computed while its own place holds zero.
    let checksum = internetChecksum(message[...])
    message[2] = UInt8(checksum >> 8)
    message[3] = UInt8(checksum & 0xFF)
    return message
}

/// RFC 1071, as in lesson 01. Over a message with its right checksum in place it is 0.
func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    for (offset, byte) in bytes.enumerated() {
        sum += offset % 2 == 0 ? UInt64(byte) << 8 : UInt64(byte)
    }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(sum)
}
