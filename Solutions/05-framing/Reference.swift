import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson05 {
    Lesson05(
        makeLineDecoder: { limit in LineDecoder(limit: limit) },
        makeFrameDecoder: { limit in FrameDecoder(limit: limit) },
        encodeFrame: encodeFrame,
        framedEchoServer: framedEchoServer,
        sendFile: sendFile,
        receiveFile: receiveFile)
}
