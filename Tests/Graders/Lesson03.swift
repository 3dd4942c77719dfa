final class Lesson03: LessonTestCase {
    override class var slug: String { "03-udp" }

    func test_uppercase_answers() throws { try grade() }
    func test_uppercase_port() throws { try grade() }
    func test_uppercase_eintr() throws { try grade() }
    func test_uppercase_two_clients() throws { try grade() }
}
