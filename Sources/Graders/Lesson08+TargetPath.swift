// Checks of exercise 08 path-names. Each reads as the sentence that it checks; lesson.json describes it under the same
// id.
import Course
import GraderKit
import Sockets

let lesson08TargetPath: [Check] = [
    Check("path-names-plain") { trial in
        let names = try trial.call("path-names", .string("/docs/a%20b?q=1"))
        guard names == .list([.string("docs"), .string("a b")]) else {
            throw Failure(expected: "[\"docs\", \"a b\"]", got: names.text)
        }
    }
]
