// Grader of lesson 12: Concurrency. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson12 = LessonGrader(
    slug: Lesson12.slug,
    checks: lesson12EchoServer)
