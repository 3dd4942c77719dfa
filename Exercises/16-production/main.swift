// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson16(
        forwardedClient: forwardedClient,
        stopDescriptor: stopDescriptor,
        backEnd: backEnd,
        webSocketBackEnd: webSocketBackEnd,
        proxyConfiguration: proxyConfiguration))
