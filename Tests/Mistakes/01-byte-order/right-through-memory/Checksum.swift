import Course

func internetChecksum(_ bytes: [UInt8]) -> UInt16 {
    var sum: UInt16 = 0
    bytes.withUnsafeBytes { raw in
        var offset = 0
        while offset < raw.count {
            let low = offset + 1 < raw.count ? raw[offset + 1] : 0
            let (partial, carry) = sum.addingReportingOverflow(UInt16(raw[offset]) << 8 | UInt16(low))
            // After an overflow the partial sum is at most FFFE: one more always fits.
            sum = carry ? partial + 1 : partial
            offset += 2
        }
    }
    return ~sum
}
