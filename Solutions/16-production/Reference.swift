import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson16 {
    Lesson16(
        forwardedClient: forwardedClient,
        stopDescriptor: stopDescriptor,
        backEnd: backEnd,
        webSocketBackEnd: webSocketBackEnd,
        proxyConfiguration: proxyConfiguration)
}
