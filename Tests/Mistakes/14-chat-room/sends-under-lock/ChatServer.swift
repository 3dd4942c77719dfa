import Course
import Foundation
import Solution05
import Sockets

private final class Server: @unchecked Sendable {
    let lock = NSLock()
    var room: Room
    var sockets: [Int: Int32] = [:]
    let framing = Solution05.reference

    init(_ rules: RoomRules) { room = Room(rules: rules) }

    func sendAll(_ socket: Int32, _ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            sent += count
        }
    }

    func carryOut(_ deliveries: [Delivery]) {
        for delivery in deliveries {
            switch delivery {
            case .send(let message, let numbers):
                let frame = framing.encodeFrame(encodeMessage(message))
                for number in numbers { if let socket = sockets[number] { sendAll(socket, frame) } }
            case .close(let number): sockets[number] = nil
            }
        }
    }

    func serve(_ socket: Int32, _ number: Int) {
        var decoder = framing.makeFrameDecoder(Lesson14.frameLimit)
        var buffer = [UInt8](repeating: 0, count: 4096)
        lock.withLock { sockets[number] = socket }
        reading: while true {
            let count = recv(socket, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { break }
            decoder.feed(Array(buffer[..<count]))
            while true {
                do {
                    guard let frame = try decoder.next() else { break }
                    let isOver = lock.withLock {
                        do {
                            let message = try decodeMessage(frame)
                            carryOut(room.receive(message, from: number, at: Date().timeIntervalSince1970))
                        } catch MessageError.unknownType {
                            carryOut([.send(.error(.unknownType), to: [number])])
                        } catch {
                            carryOut([.send(.error(.badMessage), to: [number])])
                        }
                        return sockets[number] == nil
                    }
                    if isOver { break reading }
                } catch {
                    lock.withLock { carryOut([.send(.error(.tooLong), to: [number])]) }
                    break reading
                }
            }
        }
        lock.withLock {
            sockets[number] = nil
            carryOut(room.leave(number))
        }
        close(socket)
    }
}

func chatServer(host: String, port: UInt16, rules: RoomRules) throws {
    let listener = try makeListener(host: host, port: port)
    _ = fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) & ~O_NONBLOCK)
    let server = Server(rules)
    var number = 0
    while true {
        let socket = accept(listener, nil, nil)
        if socket < 0 { continue }
        number += 1
        let own = number
        Thread.detachNewThread { server.serve(socket, own) }
    }
}
