final class Lesson14: LessonTestCase {
    override class var slug: String { "14-chat-room" }

    func test_echo_server_answers() throws { try grade() }
}
