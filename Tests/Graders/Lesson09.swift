final class Lesson09: LessonTestCase {
    override class var slug: String { "09-websocket" }

    func test_echo_server_answers() throws { try grade() }
    func test_client_request() throws { try grade() }
    func test_client_messages() throws { try grade() }
    func test_client_masks() throws { try grade() }
    func test_client_wrong_accept() throws { try grade() }
    func test_client_wrong_status() throws { try grade() }
    func test_client_not_upgraded() throws { try grade() }
    func test_client_endless_head() throws { try grade() }
    func test_client_answer_in_pieces() throws { try grade() }
    func test_client_frames_behind_answer() throws { try grade() }
    func test_client_pings() throws { try grade() }
    func test_client_server_closes() throws { try grade() }
    func test_client_closes() throws { try grade() }
    func test_client_close_unanswered() throws { try grade() }
    func test_client_broken_server() throws { try grade() }
    func test_client_endless_message() throws { try grade() }
    func test_client_abrupt_end() throws { try grade() }
    func test_client_bad_day() throws { try grade() }
    func test_client_leaves_nothing() throws { try grade() }
    func test_client_python() throws { try grade() }
    func test_chat_to_others() throws { try grade() }
    func test_chat_to_all() throws { try grade() }
    func test_chat_members_only() throws { try grade() }
    func test_chat_origin() throws { try grade() }
    func test_chat_page() throws { try grade() }
    func test_chat_fragments() throws { try grade() }
    func test_chat_order() throws { try grade() }
    func test_chat_crowd() throws { try grade() }
    func test_chat_slow_member() throws { try grade() }
    func test_chat_deaf_member() throws { try grade() }
    func test_chat_leave() throws { try grade() }
    func test_chat_leaves_nothing() throws { try grade() }
    func test_chat_too_long() throws { try grade() }
    func test_chat_broken_member() throws { try grade() }
    func test_heartbeat_pings() throws { try grade() }
    func test_heartbeat_echoes() throws { try grade() }
    func test_heartbeat_keeps() throws { try grade() }
    func test_heartbeat_drops_dead() throws { try grade() }
    func test_heartbeat_later_pong() throws { try grade() }
    func test_heartbeat_other_pongs() throws { try grade() }
    func test_heartbeat_data_is_no_pong() throws { try grade() }
    func test_heartbeat_leaves_nothing() throws { try grade() }
    func test_heartbeat_by_timer() throws { try grade() }
}
