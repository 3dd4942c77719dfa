import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson15 {
    Lesson15(
        unixEchoServer: unixEchoServer,
        datagramRequest: datagramRequest,
        sendDescriptor: sendDescriptor,
        receiveDescriptor: receiveDescriptor,
        peerCredentials: peerCredentials,
        echoRequest: echoRequest,
        parseEchoReply: parseEchoReply,
        parseQuotedEcho: parseQuotedEcho,
        openPing: openPing,
        ping: ping,
        traceroute: traceroute)
}
