import Course
import Foundation
func encodeFrame(message: [UInt8]) -> [UInt8] {
    var data = Data(capacity: message.count + 4)
    var length = UInt32(message.count).bigEndian
    data.append(Data(bytes: &length, count: 4))
    data.append(contentsOf: message)
    return [UInt8](data)
}
