// Grader of lesson 08: HTTP. Each exercise has its checks in files of its own.
import Course
import GraderKit

let lesson08 = LessonGrader(
    slug: Lesson08.slug,
    checks: requestDecoderChecks + pathNamesChecks + fileServerChecks + storeServerChecks
        + lesson08ClientChecks)
