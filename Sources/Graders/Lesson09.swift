// Grader of lesson 09: Websocket. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson09 = LessonGrader(
    slug: Lesson09.slug,
    checks: lesson09EchoServer + clientOfLesson09Checks + chatServerOfLesson09Checks + heartbeatOfLesson09Checks)
