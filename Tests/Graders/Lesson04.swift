final class Lesson04: LessonTestCase {
    override class var slug: String { "04-tcp" }

    // send-all
    func test_send_whole() throws { try grade() }
    func test_send_short() throws { try grade() }
    func test_send_eintr() throws { try grade() }
    func test_send_broken() throws { try grade() }
    func test_send_nothing() throws { try grade() }

    // receive-exactly
    func test_receive_pieces() throws { try grade() }
    func test_receive_short() throws { try grade() }
    func test_receive_no_more() throws { try grade() }
    func test_receive_end() throws { try grade() }
    func test_receive_reset() throws { try grade() }
    func test_receive_eintr() throws { try grade() }
    func test_receive_nothing() throws { try grade() }

    // close-gracefully
    func test_close_half() throws { try grade() }
    func test_close_drains() throws { try grade() }
    func test_close_once() throws { try grade() }
    func test_close_eintr() throws { try grade() }

    // client
    func test_client_asks() throws { try grade() }
    func test_client_half_close() throws { try grade() }
    func test_client_collects() throws { try grade() }
    func test_client_large() throws { try grade() }
    func test_client_ipv6() throws { try grade() }
    func test_client_refused() throws { try grade() }
    func test_client_cut_off() throws { try grade() }
    func test_client_closes() throws { try grade() }
    func test_client_eintr() throws { try grade() }
    func test_client_short() throws { try grade() }

    // uppercase-server
    func test_uppercase_answers() throws { try grade() }
    func test_uppercase_bytes() throws { try grade() }
    func test_uppercase_stream() throws { try grade() }
    func test_uppercase_next() throws { try grade() }
    func test_uppercase_address() throws { try grade() }
    func test_uppercase_ipv6() throws { try grade() }
    func test_uppercase_taken() throws { try grade() }
    func test_uppercase_restart() throws { try grade() }
    func test_uppercase_backlog() throws { try grade() }
    func test_uppercase_half_close() throws { try grade() }
    func test_uppercase_silent() throws { try grade() }
    func test_uppercase_reset() throws { try grade() }
    func test_uppercase_vanish() throws { try grade() }
    func test_uppercase_descriptors() throws { try grade() }
    func test_uppercase_idle() throws { try grade() }
    func test_uppercase_eintr() throws { try grade() }
    func test_uppercase_aborted() throws { try grade() }
    func test_uppercase_short() throws { try grade() }
    func test_uppercase_bad_network() throws { try grade() }

    // threaded-server
    func test_threaded_answers() throws { try grade() }
    func test_threaded_stream() throws { try grade() }
    func test_threaded_two_clients() throws { try grade() }
    func test_threaded_many() throws { try grade() }
    func test_threaded_deaf_client() throws { try grade() }
    func test_threaded_no_mixing() throws { try grade() }
    func test_threaded_full() throws { try grade() }
    func test_threaded_address() throws { try grade() }
    func test_threaded_ipv6() throws { try grade() }
    func test_threaded_taken() throws { try grade() }
    func test_threaded_restart() throws { try grade() }
    func test_threaded_backlog() throws { try grade() }
    func test_threaded_half_close() throws { try grade() }
    func test_threaded_silent() throws { try grade() }
    func test_threaded_reset() throws { try grade() }
    func test_threaded_vanish() throws { try grade() }
    func test_threaded_descriptors() throws { try grade() }
    func test_threaded_idle() throws { try grade() }
    func test_threaded_eintr() throws { try grade() }
    func test_threaded_aborted() throws { try grade() }
    func test_threaded_short() throws { try grade() }
    func test_threaded_bad_network() throws { try grade() }

    // forking-server
    func test_forking_answers() throws { try grade() }
    func test_forking_stream() throws { try grade() }
    func test_forking_two_clients() throws { try grade() }
    func test_forking_many() throws { try grade() }
    func test_forking_deaf_client() throws { try grade() }
    func test_forking_listener() throws { try grade() }
    func test_forking_child_ends() throws { try grade() }
    func test_forking_zombies() throws { try grade() }
    func test_forking_full() throws { try grade() }
    func test_forking_address() throws { try grade() }
    func test_forking_ipv6() throws { try grade() }
    func test_forking_taken() throws { try grade() }
    func test_forking_restart() throws { try grade() }
    func test_forking_backlog() throws { try grade() }
    func test_forking_half_close() throws { try grade() }
    func test_forking_silent() throws { try grade() }
    func test_forking_reset() throws { try grade() }
    func test_forking_vanish() throws { try grade() }
    func test_forking_descriptors() throws { try grade() }
    func test_forking_idle() throws { try grade() }
    func test_forking_eintr() throws { try grade() }
    func test_forking_aborted() throws { try grade() }
    func test_forking_short() throws { try grade() }
    func test_forking_bad_network() throws { try grade() }
}
