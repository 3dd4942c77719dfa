import Sockets

/// Marks a step that is not written yet. Replace it with your code: a check whose code still gets here is
/// "not started", neither passed nor failed.
///
///     todo("step 2: bind the socket")
public func todo(_ step: String = "", file: StaticString = #filePath, line: UInt = #line) -> Never {
    reachedTodo?("\(file)", Int(line), step)
    let place = "\(file):\(line): " + say("not written yet", "还没有写") + (step.isEmpty ? "" : ": \(step)") + "\n"
    place.withCString { text in _ = write(2, text, strlen(text)) }
    exit(todoExitCode)
}

/// The exit code of a program that reached a `todo()`.
public let todoExitCode: Int32 = 86
