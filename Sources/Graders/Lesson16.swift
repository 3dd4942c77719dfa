// Grader of lesson 16: Production. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson16 = LessonGrader(
    slug: Lesson16.slug,
    checks: forwardedChecks + stopSignalChecks + backEndChecks + webSocketBackEndChecks + proxyConfigurationChecks)
