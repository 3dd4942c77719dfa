import GraderKit

/// Every lesson's grader. `lab new lesson` adds the next line.
public let allGraders: [LessonGrader] = [
    lesson01,
    lesson02,
    lesson03,
    lesson04,
    lesson05,
    lesson06,
    lesson07,
    lesson08,
    lesson09,
    lesson10,
    lesson11,
    lesson12,
    lesson13,
    lesson14,
    lesson15,
    lesson16,
]

public func grader(of slug: String) -> LessonGrader? { allGraders.first { $0.slug == slug } }
