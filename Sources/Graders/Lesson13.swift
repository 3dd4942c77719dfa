// Grader of lesson 13: Throughput. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson13 = LessonGrader(
    slug: Lesson13.slug,
    checks: lesson13ReverseBytes)
