import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson12 {
    Lesson12(
        iterativeServer: iterativeServer,
        forkServer: forkServer,
        threadServer: threadServer,
        poolServer: poolServer,
        asyncServer: asyncServer,
        makeHub: { BroadcastHub() })
}
