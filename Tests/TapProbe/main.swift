// The lab's tests run this program as they would a student's: a small contract whose functions make one kind of call
// each, run threads and children, crash, hang, or attack the lab. Not part of the course.
import Course
import LessonHost

struct Probe: LessonContract {
    static let slug = "00-probe"
    var entries: [Entry] {
        valueEntries + callEntries + libraryEntries + processEntries + crashEntries + limitEntries + hostileEntries
            + serverEntries
    }
}

if CommandLine.arguments.dropFirst().first == "grade" { grade(CommandLine.arguments[2]) }
LessonHost.run(Probe())
