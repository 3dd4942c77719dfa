// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson04(
        sendAll: sendAll,
        receiveExactly: receiveExactly,
        closeGracefully: closeGracefully,
        client: client,
        uppercaseServer: uppercaseServer,
        threadedServer: threadedServer,
        forkingServer: forkingServer))
