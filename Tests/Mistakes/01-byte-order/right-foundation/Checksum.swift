import Course
func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt16 = 0
    for (i, b) in bytes.enumerated() {
        let (s, carry) = sum.addingReportingOverflow(i % 2 == 0 ? UInt16(b) << 8 : UInt16(b))
        sum = carry ? s + 1 : s
    }
    return 0xFFFF - sum
}
