import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson14 {
    Lesson14(
        echoServer: echoServer)
}
