/// Turns an implementation of a contract into a process: on a terminal a small command line, under a grader a
/// subject that answers calls and runs servers.
///
/// Owns the way into the student's code. Decides no verdict, and knows of no check.
import CTap
import Course
import Foundation
import Sockets

public enum LessonHost {
    /// Runs the process to its end.
    public static func run(
        _ lesson: some LessonContract, arguments: [String] = Array(CommandLine.arguments.dropFirst())
    )
        -> Never
    {
        if let descriptors = LabDescriptors.inherited() {
            GradedHost(lesson: lesson, descriptors: descriptors).run()
        }
        CommandLineHost(lesson: lesson).run(arguments)
    }
}

/// The lab's ends of the lines to the grader, as `LAB_DESCRIPTORS=control,tap,supervisor` names them.
struct LabDescriptors {
    var control: Int32
    var tap: Int32
    var supervisor: Int32

    static func inherited() -> LabDescriptors? {
        guard let text = getenv("LAB_DESCRIPTORS").map({ String(cString: $0) }) else { return nil }
        let numbers = text.split(separator: ",").compactMap { Int32($0) }
        guard numbers.count == 3 else { return nil }
        unsetenv("LAB_DESCRIPTORS")
        return LabDescriptors(control: numbers[0], tap: numbers[1], supervisor: numbers[2])
    }
}
