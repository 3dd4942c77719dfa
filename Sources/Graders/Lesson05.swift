// Grader of lesson 05: framing. lesson.json describes each check under the same id; the files beside this one hold them,
// exercise by exercise.
import Course
import GraderKit

let lesson05 = LessonGrader(
    slug: Lesson05.slug,
    checks: lineDecoderChecks + frameDecoderChecks + encodeFrameChecks + framedEchoChecks + sendFileChecks
        + receiveFileChecks)

/// A frame as lesson 05 defines it: u32 big-endian, then the message.
func framed(_ message: [UInt8]) -> [UInt8] { bigEndianBytes(UInt32(message.count)) + message }

func bigEndianBytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}
