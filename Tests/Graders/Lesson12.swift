final class Lesson12: LessonTestCase {
    override class var slug: String { "12-concurrency" }

    func test_echo_server_answers() throws { try grade() }
}
