final class Lesson15: LessonTestCase {
    override class var slug: String { "15-unix-and-raw" }

    func test_echo_server_answers() throws { try grade() }
}
