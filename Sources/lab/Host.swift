// `lab host 04-tcp …`: this executable as the process that runs a reference solution, the way `Lesson04` runs the
// student's. Graders and demos start it; linking the solutions here means that a copy of `lab` alone can run every demo.
import Course
import LabCore
import LessonHost
import Sockets
import Solution04
import Solution05
import Solution08
import Solution09

func host(_ arguments: ArraySlice<String>) -> Never {
    guard let slug = arguments.first, let lesson = hosted.first(where: { type(of: $0).slug == slug }) else {
        let message = "lab host: no lesson \"\(arguments.first ?? "")\"\n"
        message.withCString { text in _ = write(2, text, strlen(text)) }
        exit(2)
    }
    LessonHost.run(lesson, arguments: Array(arguments.dropFirst()))
}

/// The references, and the lab's own programs for demos, which use them.
private var hosted: [any LessonContract] {
    references + [
        DemoProgram(
            lesson04: Solution04.reference, lesson05: Solution05.reference, lesson08: Solution08.reference,
            selectFileServer: Solution08.selectFileServer),
        WebSocketDemoProgram(lesson09: Solution09.reference),
    ]
}
