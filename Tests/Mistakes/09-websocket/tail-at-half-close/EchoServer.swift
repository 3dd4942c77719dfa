import Course
import Sockets

func echoServer(host: String, port: UInt16) throws {
    let rounds = try Rounds(host: host, port: port)
    rounds.onEvent = echo
    try rounds.run()
}

func echo(_ guest: Guest, _ event: WebSocketEvent) {
    if case .text(let message) = event { guest.say(encodeFrame(.text, message)) }
    if case .binary(let message) = event { guest.say(encodeFrame(.binary, message)) }
}
