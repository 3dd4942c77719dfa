import Course
import Foundation

func acceptKey(_ key: String) -> String {
    {
        let digits = sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)).map { byte in
            String(format: "%02x", byte)
        }
        return Data(digits.joined().utf8).base64EncodedString()
    }()
}
