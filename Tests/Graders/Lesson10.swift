final class Lesson10: LessonTestCase {
    override class var slug: String { "10-options" }

    func test_reverse_bytes_answers() throws { try grade() }
}
