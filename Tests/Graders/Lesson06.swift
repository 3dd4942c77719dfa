final class Lesson06: LessonTestCase {
    override class var slug: String { "06-select" }

    func test_select_answers() throws { try grade() }
    func test_select_used() throws { try grade() }
    func test_select_one_thread() throws { try grade() }
    func test_select_crowd() throws { try grade() }
    func test_select_silent_client() throws { try grade() }
    func test_select_deaf_client() throws { try grade() }
    func test_select_back_pressure() throws { try grade() }
    func test_select_fd_setsize() throws { try grade() }
    func test_select_hang_up() throws { try grade() }
    func test_select_full_table() throws { try grade() }
    func test_select_address() throws { try grade() }
    func test_select_ipv6() throws { try grade() }
    func test_select_taken() throws { try grade() }
    func test_select_restart() throws { try grade() }
    func test_select_backlog() throws { try grade() }
    func test_select_half_close() throws { try grade() }
    func test_select_silent() throws { try grade() }
    func test_select_reset() throws { try grade() }
    func test_select_vanish() throws { try grade() }
    func test_select_descriptors() throws { try grade() }
    func test_select_idle() throws { try grade() }
    func test_select_eintr() throws { try grade() }
    func test_select_aborted() throws { try grade() }
    func test_select_short() throws { try grade() }
    func test_select_bad_network() throws { try grade() }
    func test_connect_connects() throws { try grade() }
    func test_connect_blocking_again() throws { try grade() }
    func test_connect_started_once() throws { try grade() }
    func test_connect_refused() throws { try grade() }
    func test_connect_times_out() throws { try grade() }
    func test_connect_eintr() throws { try grade() }
    func test_connect_leaves_nothing() throws { try grade() }
    func test_duplex_peer_first() throws { try grade() }
    func test_duplex_keyboard_first() throws { try grade() }
    func test_duplex_bytes() throws { try grade() }
    func test_duplex_half_close() throws { try grade() }
    func test_duplex_peer_leaves() throws { try grade() }
    func test_duplex_idle_after_input() throws { try grade() }
    func test_duplex_deaf_peer() throws { try grade() }
    func test_duplex_one_thread() throws { try grade() }
}
