import Course
import Solution01
import Solution02
import Solution03
import Solution04
import Solution05
import Solution06
import Solution07
import Solution08
import Solution09

/// The reference implementation of each lesson. `lab new lesson` adds the next line.
var references: [any LessonContract] {
    [
        Solution01.reference,
        Solution02.reference,
        Solution03.reference,
        Solution04.reference,
        Solution05.reference,
        Solution06.reference,
        Solution07.reference,
        Solution08.reference,
        Solution09.reference,
    ]
}
