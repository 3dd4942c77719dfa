/// A WebSocket client that stays connected, a call at a time: for demos (`lab host demos-websocket`).
import Course
import Foundation
import Sockets

public struct WebSocketDemoProgram: LessonContract {
    public static let slug = "demos-websocket"

    private let lesson09: Lesson09
    private let state = State()

    public init(lesson09: Lesson09) { self.lesson09 = lesson09 }

    /// What one call leaves for the next.
    private final class State {
        var client: (any WebSocketClient)?
        var number: UInt64 = 0
    }

    public var entries: [Entry] {
        [
            // Host, port, path.
            .function("open") { a in
                let request = HandshakeRequest(
                    host: Endpoint(host: try a.string(0), port: UInt16(try a.int(1))).written, path: try a.string(2),
                    key: Data((0..<16).map { _ in UInt8.random(in: 0...255) }).base64EncodedString())
                state.client = try lesson09.openClient(try a.string(0), UInt16(try a.int(1)), request)
                return .none
            },
            .function("say") { a in
                try open.send(.text, try a.bytes(0))
                return .none
            },
            // The next message.
            .function("hear") { _ in
                while true {
                    switch try open.receive() {
                    case .text(let bytes), .binary(let bytes): return .bytes(bytes)
                    case .close: throw SocketError("recv", ECONNRESET)
                    case .ping, .pong: continue
                    }
                }
            },
            // All messages that the server had for us when it read our ping: its pong comes behind them.
            .function("catch-up") { _ in
                state.number += 1
                let token = withUnsafeBytes(of: state.number.bigEndian, Array.init)
                try open.send(.ping, token)
                var messages: [Value] = []
                while true {
                    switch try open.receive() {
                    case .text(let bytes), .binary(let bytes): messages.append(.bytes(bytes))
                    case .pong(token): return .list(messages)
                    case .close: throw SocketError("recv", ECONNRESET)
                    case .ping, .pong: continue
                    }
                }
            },
            .function("leave") { _ in
                try open.close(code: 1000, reason: "")
                return .none
            },
        ]
    }

    private var open: any WebSocketClient {
        get throws {
            guard let client = state.client else { throw SocketError("send", ENOTCONN) }
            return client
        }
    }
}
