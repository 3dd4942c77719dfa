// Grader of lesson 14: Chat room. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson14 = LessonGrader(
    slug: Lesson14.slug,
    checks: messagesChecks + roomChecks + chatServerOfLesson14Checks + chatClientChecks
        + gatewayChecks)
