final class Lesson08: LessonTestCase {
    override class var slug: String { "08-http" }

    func test_echo_server_answers() throws { try grade() }
}
