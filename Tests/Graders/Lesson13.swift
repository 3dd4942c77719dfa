final class Lesson13: LessonTestCase {
    override class var slug: String { "13-throughput" }

    func test_reverse_bytes_answers() throws { try grade() }
}
