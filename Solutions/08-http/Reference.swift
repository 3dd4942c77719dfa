import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson08 {
    Lesson08(
        makeRequestDecoder: { limits in HTTPRequestDecoder(limits: limits) },
        pathNames: pathNames,
        fileServer: fileServer,
        storeServer: storeServer,
        makeClient: { options in Client(options: options) })
}
