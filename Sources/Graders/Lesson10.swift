// Grader of lesson 10: Options. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson10 = LessonGrader(
    slug: Lesson10.slug,
    checks: lesson10ReverseBytes)
