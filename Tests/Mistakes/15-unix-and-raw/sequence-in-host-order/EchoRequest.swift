import Sockets

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var message: [UInt8] = [8, 0, 0, 0]
    message += [UInt8(identifier >> 8), UInt8(identifier & 0xFF)]
    withUnsafeBytes(of: sequence) { message += $0 }
    message += payload
    let checksum = internetChecksum(message[...])
    message[2] = UInt8(checksum >> 8)
    message[3] = UInt8(checksum & 0xFF)
    return message
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt64 = 0
    for (offset, byte) in bytes.enumerated() {
        sum += offset % 2 == 0 ? UInt64(byte) << 8 : UInt64(byte)
    }
    while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
    return ~UInt16(sum)
}
