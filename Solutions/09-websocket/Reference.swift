import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson09 {
    Lesson09(
        acceptKey: acceptKey,
        serverHandshake: serverHandshake,
        clientRequest: clientRequest,
        checkAnswer: checkAnswer,
        encodeFrame: { encodeFrame($0, $1, isFinal: $2, mask: $3) },
        makeFrameDecoder: { role, limit in FrameDecoder(role: role, limit: limit) },
        echoServer: echoServer,
        jsonEchoServer: jsonEchoServer,
        openClient: openClient,
        chatServer: chatServer,
        heartbeatServer: heartbeatServer)
}
