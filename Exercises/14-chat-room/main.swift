// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson14(
        encodeMessage: encodeMessage,
        decodeMessage: decodeMessage,
        makeRoom: { rules in Room(rules: rules) },
        chatServer: chatServer,
        openClient: openClient,
        gateway: gateway))
