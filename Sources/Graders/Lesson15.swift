// Grader of lesson 15: Unix and raw. Each exercise has its checks in a file of its own.
import Course
import GraderKit

let lesson15 = LessonGrader(
    slug: Lesson15.slug,
    checks: unixEchoChecks + unixDatagramChecks + passDescriptorChecks + peerCredentialsChecks + echoPacketChecks
        + quotedEchoChecks + pingChecks + tracerouteChecks)
