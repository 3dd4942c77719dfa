import Course
import Foundation

/// A fixed name that no other protocol uses, and a hash: a server that does not speak WebSocket cannot answer this by
/// accident, nor can a page trick one into it. It proves nothing else (RFC 6455, section 1.3).
func acceptKey(_ key: String) -> String {
    Data(sha1(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
}
