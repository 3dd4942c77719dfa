// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson10(
        configure: configure,
        readOptions: readOptions,
        nonblockingExchange: nonblockingExchange,
        resetClose: resetClose,
        requestServer: requestServer,
        sharedServer: sharedServer))
