import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson15 {
    Lesson15(
        echoServer: echoServer)
}
