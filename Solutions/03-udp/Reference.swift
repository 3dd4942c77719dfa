import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson03 {
    Lesson03(
        uppercaseServer: uppercaseServer,
        timestampServer: timestampServer,
        request: request,
        connectedClient: connectedClient,
        broadcast: broadcast,
        discover: discover,
        multicastSend: multicastSend,
        multicastReceive: multicastReceive)
}
