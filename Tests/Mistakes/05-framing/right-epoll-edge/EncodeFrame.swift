import Course

func encodeFrame(message: [UInt8]) -> [UInt8] {
    let length = UInt32(message.count)
    var frame = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> UInt32($0)) }
    frame.append(contentsOf: message)
    return frame
}
