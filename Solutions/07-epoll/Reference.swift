import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson07 {
    Lesson07(
        epollServer: epollServer,
        edgeTriggeredServer: edgeTriggeredServer,
        idleTimeoutServer: idleTimeoutServer,
        makeStopper: makeStopper,
        requestStop: requestStop,
        stoppableServer: stoppableServer)
}
