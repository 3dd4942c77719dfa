import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson04 {
    Lesson04(
        sendAll: sendAll,
        receiveExactly: receiveExactly,
        closeGracefully: closeGracefully,
        client: client,
        uppercaseServer: uppercaseServer,
        threadedServer: threadedServer,
        forkingServer: forkingServer)
}
