import Course
import Foundation

func echoRequest(identifier: UInt16, sequence: UInt16, payload: [UInt8]) -> [UInt8] {
    var data = Data([8, 0, 0, 0])
    for field in [identifier, sequence] { withUnsafeBytes(of: field.bigEndian) { data.append(contentsOf: $0) } }
    data.append(contentsOf: payload)
    var bytes = Array(data)
    bytes.replaceSubrange(2..<4, with: withUnsafeBytes(of: internetChecksum(bytes[...]).bigEndian) { Array($0) })
    return bytes
}

func internetChecksum(_ bytes: ArraySlice<UInt8>) -> UInt16 {
    var sum: UInt16 = 0
    var rest = bytes
    while let high = rest.popFirst() {
        let (value, carry) = sum.addingReportingOverflow(UInt16(high) << 8 | UInt16(rest.popFirst() ?? 0))
        sum = carry ? value + 1 : value
    }
    return ~sum
}
