// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson12(
        iterativeServer: iterativeServer,
        forkServer: forkServer,
        threadServer: threadServer,
        poolServer: poolServer,
        asyncServer: asyncServer,
        makeHub: { BroadcastHub() }))
