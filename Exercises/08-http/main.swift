// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson08(
        makeRequestDecoder: { limits in HTTPRequestDecoder(limits: limits) },
        pathNames: pathNames,
        fileServer: fileServer,
        storeServer: storeServer,
        makeClient: { options in Client(options: options) }))
