// Grader of lesson 03: UDP. Each check reads as the sentence that it checks; lesson.json describes it under the same id.
import Course
import GraderKit

let lesson03 = LessonGrader(
    slug: Lesson03.slug,
    checks: lesson03UppercaseServer + lesson03TimestampServer + lesson03ConnectedClient + lesson03Request
        + lesson03Broadcast + lesson03Discover + lesson03Multicast)
