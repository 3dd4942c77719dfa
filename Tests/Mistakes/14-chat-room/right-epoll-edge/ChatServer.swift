import Course
import Foundation
import Sockets

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let loop = try EdgeLoop(host: host, port: port)
    let hall = Hall(loop, rules)
    loop.onAccept = { hall.welcome($0) }
    try loop.run()
}

private final class Hall {
    private final class Guest {
        let wire: Wire
        var bytes: [UInt8] = []
        init(_ wire: Wire) { self.wire = wire }
    }

    private let loop: EdgeLoop
    private let rules: RoomRules
    private var room: Room
    private var guests: [Int: Guest] = [:]

    init(_ loop: EdgeLoop, _ rules: RoomRules) {
        self.loop = loop
        self.rules = rules
        room = Room(rules: rules)
    }

    func welcome(_ wire: Wire) {
        let number = Int(wire.number)
        guests[number] = Guest(wire)
        wire.limit = rules.queueLimit
        wire.onBytes = { [unowned self] in receive($0, from: number) }
        wire.onEnd = { [unowned self] in lose(number) }
        loop.expect(wire, within: rules.loginPatience)
    }

    private func lose(_ number: Int) {
        guests[number] = nil
        carryOut(room.leave(number))
    }

    private func receive(_ bytes: ArraySlice<UInt8>, from number: Int) {
        guard let guest = guests[number] else { return }
        guest.bytes += bytes
        var place = 0
        while guests[number] != nil, guest.bytes.count - place >= 4 {
            let length = guest.bytes[place..<(place + 4)].reduce(0) { $0 << 8 | Int($1) }
            if length > Lesson14.frameLimit {
                tell(.error(.tooLong), number)
                lose(number)
                loop.finish(guest.wire)
                return
            }
            guard guest.bytes.count - place - 4 >= length else { break }
            handle(Array(guest.bytes[(place + 4)..<(place + 4 + length)]), number)
            place += 4 + length
        }
        guest.bytes.removeFirst(place)
    }

    private func handle(_ frame: [UInt8], _ number: Int) {
        let message: ChatMessage
        do { message = try decodeMessage(frame) } catch MessageError.unknownType {
            return tell(.error(.unknownType), number)
        } catch {
            return tell(.error(.badMessage), number)
        }
        carryOut(room.receive(message, from: number, at: Date().timeIntervalSince1970))
    }

    private func tell(_ message: ChatMessage, _ number: Int) { carryOut([.send(message, to: [number])]) }

    private func carryOut(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            switch delivery {
            case .close(let number): if let guest = guests.removeValue(forKey: number) { loop.finish(guest.wire) }
            case .send(let message, let numbers):
                let json = encodeMessage(message)
                let frame = (0..<4).map { UInt8(truncatingIfNeeded: json.count >> (24 - 8 * $0)) } + json
                for number in numbers {
                    guard let wire = guests[number]?.wire else { continue }
                    if case .loginResponse(nil) = message { loop.expectNothing(wire) }
                    loop.send(frame, to: wire)
                }
            }
        }
    }
}
