final class Lesson13: LessonTestCase {
    override class var slug: String { "13-throughput" }

    func test_buffered_lines() throws { try grade() }
    func test_buffered_mixed() throws { try grade() }
    func test_buffered_dialogue() throws { try grade() }
    func test_buffered_end() throws { try grade() }
    func test_buffered_long_line() throws { try grade() }
    func test_buffered_writes() throws { try grade() }
    func test_buffered_flush() throws { try grade() }
    func test_buffered_short() throws { try grade() }
    func test_buffered_eintr() throws { try grade() }
    func test_buffered_send_fails() throws { try grade() }
    func test_buffered_receive_fails() throws { try grade() }
    func test_buffered_broken() throws { try grade() }
    func test_pool_reuses() throws { try grade() }
    func test_pool_bounded() throws { try grade() }
    func test_pool_threads() throws { try grade() }
    func test_pool_connecting() throws { try grade() }
    func test_pool_timeout() throws { try grade() }
    func test_pool_dead() throws { try grade() }
    func test_pool_leftover() throws { try grade() }
    func test_pool_error() throws { try grade() }
    func test_pool_refused() throws { try grade() }
    func test_pool_idle() throws { try grade() }
    func test_pool_close() throws { try grade() }
    func test_pool_close_lent() throws { try grade() }
    func test_vectors_order() throws { try grade() }
    func test_vectors_gathers() throws { try grade() }
    func test_vectors_many() throws { try grade() }
    func test_vectors_empty() throws { try grade() }
    func test_vectors_short() throws { try grade() }
    func test_vectors_eintr() throws { try grade() }
    func test_vectors_broken() throws { try grade() }
    func test_file_whole() throws { try grade() }
    func test_file_part() throws { try grade() }
    func test_file_kernel() throws { try grade() }
    func test_file_header() throws { try grade() }
    func test_file_short() throws { try grade() }
    func test_file_changes() throws { try grade() }
    func test_file_refuses() throws { try grade() }
    func test_file_broken() throws { try grade() }
    func test_file_closed() throws { try grade() }
}
