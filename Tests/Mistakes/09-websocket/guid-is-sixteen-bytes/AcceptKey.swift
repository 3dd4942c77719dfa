import Course
import Foundation

/// RFC 6455's name for "this is WebSocket".
private let webSocketName = UUID(uuidString: "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")!

func acceptKey(_ key: String) -> String {
    // The key as it came, not decoded, and behind it the GUID.
    var proof = Array(key.utf8)
    withUnsafeBytes(of: webSocketName.uuid) { proof.append(contentsOf: $0) }
    let digest = sha1(proof)
    return Data(digest).base64EncodedString()
}
