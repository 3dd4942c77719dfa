final class Lesson08: LessonTestCase {
    override class var slug: String { "08-http" }

    func test_path_names_plain() throws { try grade() }
}
