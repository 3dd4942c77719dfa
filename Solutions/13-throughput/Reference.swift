import Course

/// The reference implementation, which the graders are proved against and demos run.
public var reference: Lesson13 {
    Lesson13(
        reverseBytes: reverseBytes)
}
