import Course
import Sockets

func discover(port: UInt16, timeout: Milliseconds) throws -> [Discovered] {
    let all = try SocketAddress(host: everybody, port: port)
    let client = try check("socket", socket(AF_INET, SOCK_DGRAM, 0))
    defer { close(client) }
    try allowBroadcast(client)
    try check("connect", all.withSockaddr { connect(client, $0, $1) })
    let question = Array("WHO IS THERE?".utf8)
    try check("send", retryingInterrupts { send(client, question, question.count, 0) })

    let deadline = monotonicNanoseconds() + timeout * nanosecondsPerMillisecond
    var found: [Discovered] = []
    var known: Set<SocketAddress> = []
    do {
        while let (answer, sender) = try receiveDatagram(on: client, until: deadline) {
            guard let sender, known.insert(sender).inserted else { continue }
            found.append(Discovered(host: sender.host, port: sender.port, answer: answer))
        }
    } catch let error as SocketError where error.code == ECONNREFUSED {
        return found  // nobody there
    }
    return found
}
