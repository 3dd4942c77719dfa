// Checks of exercise 16 echo-server. Each reads as the sentence that it checks; lesson.json describes it under the
// same id.
import Course
import GraderKit
import Sockets

let lesson16EchoServer: [Check] = [
    Check("echo-server-answers") { trial in
        let server = try trial.serve("echo-server")
        let client = try server.connect()
        let message = trial.random.bytes(100)
        try client.send(message)
        try client.expect(message)
    }
]
