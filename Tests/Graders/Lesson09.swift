final class Lesson09: LessonTestCase {
    override class var slug: String { "09-websocket" }

    func test_echo_server_answers() throws { try grade() }
}
