import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson14 {
    Lesson14(
        encodeMessage: encodeMessage,
        decodeMessage: decodeMessage,
        makeRoom: { rules in Room(rules: rules) },
        chatServer: chatServer,
        openClient: openClient,
        gateway: gateway)
}
