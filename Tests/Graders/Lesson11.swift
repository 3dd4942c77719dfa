final class Lesson11: LessonTestCase {
    override class var slug: String { "11-errors" }

    func test_reverse_bytes_answers() throws { try grade() }
}
