import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson10 {
    Lesson10(
        configure: configure,
        readOptions: readOptions,
        nonblockingExchange: nonblockingExchange,
        resetClose: resetClose,
        requestServer: requestServer,
        sharedServer: sharedServer)
}
