import Course

func parseIPv4(_ text: String) -> [UInt8]? {
    let parts = text.utf8.split(separator: 0x2E, omittingEmptySubsequences: false)
    let bytes = parts.compactMap { part -> UInt8? in
        // A number that is written back in the same bytes had no sign, no leading zero and no strange digit.
        guard part.count < 4, let text = String(part), let byte = UInt8(text),
            String(byte).utf8.elementsEqual(part)
        else { return nil }
        return byte
    }
    return parts.count == 4 && bytes.count == 4 ? bytes : nil
}
