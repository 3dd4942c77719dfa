// Grader of lesson 13: throughput. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson13 = LessonGrader(
    slug: Lesson13.slug,
    checks: bufferedSocketChecks + connectionPoolChecks + writeVectorsChecks + lesson13SendFileChecks)
