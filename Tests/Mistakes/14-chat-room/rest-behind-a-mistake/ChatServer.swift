import Course
import Foundation
import Solution05

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let server = Server(try EventLoop(host: host, port: port), rules)
    try server.run()
}

/// Frames in, frames out: between the loop, which knows bytes, and the room, which knows rules.
private final class Server {
    private let loop: EventLoop
    private let rules: RoomRules
    private let framing = Solution05.reference
    private var room: Room
    private var connections: [Int: Connection] = [:]
    private var lastNumber = 0

    private final class Connection {
        let number: Int
        let channel: Channel
        var decoder: any MessageDecoder

        init(_ number: Int, _ channel: Channel, _ decoder: any MessageDecoder) {
            self.number = number
            self.channel = channel
            self.decoder = decoder
        }
    }

    init(_ loop: EventLoop, _ rules: RoomRules) {
        self.loop = loop
        self.rules = rules
        room = Room(rules: rules)
        loop.onAccept = { [unowned self] channel in accept(channel) }
    }

    func run() throws -> Never { try loop.run() }

    private func accept(_ channel: Channel) {
        // Never the descriptor: its number is given to another connection as soon as it is closed.
        lastNumber += 1
        let connection = Connection(lastNumber, channel, framing.makeFrameDecoder(Lesson14.frameLimit))
        connections[connection.number] = connection
        channel.queueLimit = rules.queueLimit
        channel.onBytes = { [unowned self] bytes in receive(bytes, connection) }
        channel.onEnd = { [unowned self] in
            connections[connection.number] = nil
            carryOut(room.leave(connection.number))
        }
        loop.expect(channel, within: rules.loginPatience)
    }

    private func receive(_ bytes: [UInt8], _ connection: Connection) {
        connection.decoder.feed(bytes)
        // One receive may bring no frame, one, or a hundred. Those behind a logout are not looked at.
        while connections[connection.number] != nil {
            do {
                guard let frame = try connection.decoder.next() else { return }
                let replies = answer(frame, connection)
                carryOut(replies)
                if case .send(.error(.badMessage), _)? = replies.first { return }
            } catch {
                // Too long. Where the next frame begins is not known, so this is the end: with a word of why.
                carryOut([.send(.error(.tooLong), to: [connection.number]), .close(connection.number)])
                carryOut(room.leave(connection.number))
            }
        }
    }

    private func answer(_ frame: [UInt8], _ connection: Connection) -> [Delivery] {
        do {
            let message = try decodeMessage(frame)
            return room.receive(message, from: connection.number, at: Date().timeIntervalSince1970)
        } catch MessageError.unknownType {
            return [.send(.error(.unknownType), to: [connection.number])]
        } catch {
            return [.send(.error(.badMessage), to: [connection.number])]
        }
    }

    private func carryOut(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            switch delivery {
            case .send(let message, let numbers):
                // Encoded once, however many get it.
                let frame = framing.encodeFrame(encodeMessage(message))
                for number in numbers {
                    guard let channel = connections[number]?.channel else { continue }
                    loop.send(frame, to: channel)
                    if message == .loginResponse(refusal: nil) { loop.expectNothing(channel) }
                }
            case .close(let number):
                if let connection = connections.removeValue(forKey: number) { loop.finish(connection.channel) }
            }
        }
    }
}
