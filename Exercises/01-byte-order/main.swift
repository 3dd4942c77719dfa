// The plumbing between your functions and the lab: there is nothing to do in this file.
import Course
import LessonHost

LessonHost.run(
    Lesson01(
        hostToNetwork16: hostToNetwork16,
        hostToNetwork32: hostToNetwork32,
        hostToNetwork64: hostToNetwork64,
        networkToHost16: networkToHost16,
        networkToHost32: networkToHost32,
        networkToHost64: networkToHost64,
        hostIsLittleEndian: hostIsLittleEndian,
        encodeHeader: encodeHeader,
        decodeHeader: decodeHeader,
        internetChecksum: internetChecksum))
