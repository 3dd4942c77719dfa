import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson08 {
    Lesson08(
        echoServer: echoServer)
}
