// Checks of exercise 13 reverse-bytes. Each reads as the sentence that it checks; lesson.json describes it under the
// same id.
import Course
import GraderKit
import Sockets

let lesson13ReverseBytes: [Check] = [
    Check("reverse-bytes-answers") { trial in
        let bytes = trial.random.bytes(100)
        guard case .bytes(let got) = try trial.call("reverse-bytes", .bytes(bytes)) else {
            throw LabError("reverse-bytes returns bytes")
        }
        try trial.expect(got, equals: bytes.reversed(), say("the bytes, the last one first", "倒序的各字节"))
    }
]
