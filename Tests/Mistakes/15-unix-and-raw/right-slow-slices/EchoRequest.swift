import Course
import Sockets

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var message: [UInt8] = []
    message.append(8)
    message.append(0)
    message.append(0)
    message.append(0)
    message.append(UInt8(identifier / 256))
    message.append(UInt8(identifier % 256))
    message.append(UInt8(sequence / 256))
    message.append(UInt8(sequence % 256))
    for byte in payload {
        message.append(byte)
    }
    let checksum = internetChecksum(message[0..<message.count])
    message[2] = UInt8(checksum / 256)
    message[3] = UInt8(checksum % 256)
    return message
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    // The high halves and the low halves, each for themselves.
    var high: UInt64 = 0
    var low: UInt64 = 0
    var isHigh = true
    for byte in bytes {
        if isHigh {
            high += UInt64(byte)
        } else {
            low += UInt64(byte)
        }
        isHigh = !isHigh
    }
    var sum = high * 256 + low
    // One carry after another comes round.
    while sum >= 65_536 {
        let carries = sum / 65_536
        sum = sum % 65_536
        sum = sum + carries
    }
    return UInt16(65_535 - sum)
}
