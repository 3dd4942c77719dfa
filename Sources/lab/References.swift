import Course
import Solution03

/// The reference implementation of each lesson. `lab new lesson` adds the next line.
var references: [any LessonContract] {
    [
        Solution03.reference
    ]
}
