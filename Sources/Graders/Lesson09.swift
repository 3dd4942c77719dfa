// Grader of lesson 09: WebSocket. lesson.json describes each check under the same id; the files beside this one hold them,
// exercise by exercise.
import Course
import GraderKit

let lesson09 = LessonGrader(
    slug: Lesson09.slug,
    checks: acceptKeyChecks + serverHandshakeChecks + clientHandshakeChecks + encodeFrameOfLesson09Checks
        + frameDecoderOfLesson09Checks + webSocketEchoChecks + independentClientChecks + jsonEchoChecks
        + clientOfLesson09Checks
        + chatServerOfLesson09Checks + heartbeatOfLesson09Checks)
