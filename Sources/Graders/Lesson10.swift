// Grader of lesson 10: options. Each exercise has its checks in a file of its own; lesson.json describes them under the same
// ids.
import Course
import GraderKit

let lesson10 = LessonGrader(
    slug: Lesson10.slug,
    checks: configureChecks + readOptionsChecks + nonblockingExchangeChecks + resetCloseChecks + requestServerChecks
        + sharedServerChecks)
