// Grader of lesson 11: Errors. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson11 = LessonGrader(
    slug: Lesson11.slug,
    checks: lesson11Classify + lesson11Connect + lesson11Send + lesson11Receive)
