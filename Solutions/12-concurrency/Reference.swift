import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson12 {
    Lesson12(
        echoServer: echoServer)
}
