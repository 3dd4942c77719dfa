import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson09 {
    Lesson09(
        echoServer: echoServer)
}
