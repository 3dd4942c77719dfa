final class Lesson16: LessonTestCase {
    override class var slug: String { "16-production" }

    func test_echo_server_answers() throws { try grade() }
}
