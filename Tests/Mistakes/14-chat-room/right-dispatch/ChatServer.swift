import Course
import Foundation
import Solution05
import Sockets

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let loop = try DispatchLoop(host: host, port: port)
    let lobby = Lobby(rules)
    loop.onAccept = { lobby.enter($0) }
    try loop.run()
}

/// Everything on the loop's queue.
private final class Lobby {
    private typealias Guest = (wire: Wire, decoder: any MessageDecoder)
    private var guests: [Int: Guest] = [:]
    private var room: Room
    private let rules: RoomRules
    private let framing = Solution05.reference
    /// What is to be done; what comes of it is put behind it.
    private var agenda: [Delivery] = []
    private var isBusy = false

    init(_ rules: RoomRules) {
        self.rules = rules
        room = Room(rules: rules)
    }

    func enter(_ wire: Wire) {
        let number = wire.number
        guests[number] = (wire, framing.makeFrameDecoder(Lesson14.frameLimit))
        wire.limit = rules.queueLimit
        wire.expect(within: rules.loginPatience)
        wire.onEnd = { [unowned self] in
            guests[number] = nil
            schedule(room.leave(number))
        }
        wire.onBytes = { [unowned self] bytes in
            guests[number]?.decoder.feed(bytes)
            // After a logout there is no guest, and no next frame.
            while true {
                do {
                    guard let frame = try guests[number]?.decoder.next() else { return }
                    schedule(answer(frame, number))
                } catch {
                    schedule([.send(.error(.tooLong), to: [number]), .close(number)])
                    return schedule(room.leave(number))
                }
            }
        }
    }

    private func answer(_ frame: [UInt8], _ number: Int) -> [Delivery] {
        let result = Result { try decodeMessage(frame) }
        switch result {
        case .success(let message): return room.receive(message, from: number, at: Date().timeIntervalSince1970)
        case .failure(MessageError.unknownType): return [.send(.error(.unknownType), to: [number])]
        case .failure: return [.send(.error(.badMessage), to: [number])]
        }
    }

    private func schedule(_ deliveries: [Delivery]) {
        agenda += deliveries
        guard !isBusy else { return }
        isBusy = true
        defer { isBusy = false }
        while !agenda.isEmpty {
            let round = agenda
            agenda = []
            for delivery in round {
                switch delivery {
                case .send(let message, let numbers):
                    guard !numbers.isEmpty else { continue }
                    let frame = framing.encodeFrame(encodeMessage(message))
                    for guest in numbers.compactMap({ guests[$0] }) {
                        guest.wire.send(frame)
                        if message == .loginResponse(refusal: nil) { guest.wire.expectNothing() }
                    }
                case .close(let number): guests.removeValue(forKey: number)?.wire.finish()
                }
            }
        }
    }
}
