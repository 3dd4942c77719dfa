// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson03(
        uppercaseServer: uppercaseServer,
        timestampServer: timestampServer,
        request: request,
        connectedClient: connectedClient,
        broadcast: broadcast,
        discover: discover,
        multicastSend: multicastSend,
        multicastReceive: multicastReceive))
