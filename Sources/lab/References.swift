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
import Solution10
import Solution11
import Solution12
import Solution13
import Solution14
import Solution15
import Solution16

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
        Solution10.reference,
        Solution11.reference,
        Solution12.reference,
        Solution13.reference,
        Solution14.reference,
        Solution15.reference,
        Solution16.reference,
    ]
}
