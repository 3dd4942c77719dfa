// Grader of lesson 08: HTTP. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson08 = LessonGrader(
    slug: Lesson08.slug,
    checks: lesson08TargetPath + lesson08ClientChecks)
