import Course
import Sockets

func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    let address = try SocketAddress(host: everybody, port: port)
    let client = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(client) }
    try allowBroadcast(client)

    let question = Array("WHO IS THERE?".utf8)
    try check(
        "sendto", retryingInterrupts { address.withSockaddr { sendto(client, question, question.count, 0, $0, $1) } })

    let deadline = monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
    var found: [Discovered] = []
    var known: Set<SocketAddress> = []
    while let (answer, sender) = try receiveDatagram(on: client, until: deadline) {
        guard let sender, known.insert(sender).inserted else { continue }
        return [Discovered(host: sender.host, port: sender.port, answer: answer)]
    }
    return found
}
