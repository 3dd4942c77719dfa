import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson06 {
    Lesson06(selectServer: selectServer, connectWithTimeout: connectWithTimeout, duplexChat: duplexChat)
}
