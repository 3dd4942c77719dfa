import Course

func hostIsLittleEndian() -> Bool {
    let probe: UInt32 = 0x0A0B_0C0D
    return withUnsafeBytes(of: probe) { memory in memory.first == 0x0D }
}

// Two hexadecimal digits are a byte, so a number can be turned round on paper: write it down, and read the pairs of
// digits from the back to the front.
private func readFromTheBack<Number: FixedWidthInteger & UnsignedInteger>(_ number: Number) -> Number {
    if !hostIsLittleEndian() { return number }
    var digits = Array(String(number, radix: 16))
    if digits.count % 2 != 0 { digits.insert("0", at: 0) }
    var turned = ""
    var position = digits.count
    while position > 0 {
        turned.append(digits[position - 2])
        turned.append(digits[position - 1])
        position -= 2
    }
    return Number(turned, radix: 16) ?? 0
}

func hostToNetwork16(_ value: UInt16) -> UInt16 { readFromTheBack(value) }
func hostToNetwork32(_ value: UInt32) -> UInt32 { readFromTheBack(value) }
func hostToNetwork64(_ value: UInt64) -> UInt64 { readFromTheBack(value) }
func networkToHost16(_ value: UInt16) -> UInt16 { readFromTheBack(value) }
func networkToHost32(_ value: UInt32) -> UInt32 { readFromTheBack(value) }
func networkToHost64(_ value: UInt64) -> UInt64 { readFromTheBack(value) }
