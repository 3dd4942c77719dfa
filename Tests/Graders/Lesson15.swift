final class Lesson15: LessonTestCase {
    override class var slug: String { "15-unix-and-raw" }

    // unix-echo-server
    func test_unix_answers() throws { try grade() }
    func test_unix_owner_only() throws { try grade() }
    func test_unix_longest_path() throws { try grade() }
    func test_unix_path_too_long() throws { try grade() }
    func test_unix_taken() throws { try grade() }
    func test_unix_leftover() throws { try grade() }
    func test_unix_not_a_socket() throws { try grade() }
    func test_unix_removed() throws { try grade() }
    func test_unix_vanish() throws { try grade() }
    func test_unix_short() throws { try grade() }
    func test_unix_eintr() throws { try grade() }
    func test_unix_descriptors() throws { try grade() }

    // unix-datagram
    func test_datagram_answer() throws { try grade() }
    func test_datagram_stranger() throws { try grade() }
    func test_datagram_timeout() throws { try grade() }
    func test_datagram_no_server() throws { try grade() }
    func test_datagram_removed() throws { try grade() }
    func test_datagram_own_path() throws { try grade() }
    func test_datagram_eintr() throws { try grade() }

    // pass-descriptor
    func test_pass_sends() throws { try grade() }
    func test_pass_lent() throws { try grade() }
    func test_pass_broken() throws { try grade() }
    func test_pass_eintr() throws { try grade() }
    func test_receive_one() throws { try grade() }
    func test_receive_close_on_exec() throws { try grade() }
    func test_receive_one_byte() throws { try grade() }
    func test_receive_nothing() throws { try grade() }
    func test_receive_several() throws { try grade() }
    func test_receive_flood() throws { try grade() }
    func test_receive_no_leak() throws { try grade() }
    func test_pass_python() throws { try grade() }

    // peer-credentials
    func test_credentials_pair() throws { try grade() }
    func test_credentials_client() throws { try grade() }
    func test_credentials_nobody() throws { try grade() }

    // echo-request
    func test_request_bytes() throws { try grade() }
    func test_request_checksum() throws { try grade() }

    // parse-echo-reply
    func test_reply_bare() throws { try grade() }
    func test_reply_header() throws { try grade() }
    func test_reply_lengths() throws { try grade() }
    func test_reply_damaged() throws { try grade() }
    func test_reply_others() throws { try grade() }

    // quoted-echo
    func test_quote_read() throws { try grade() }
    func test_quote_short() throws { try grade() }
    func test_quote_others() throws { try grade() }

    // ping
    func test_ping_times() throws { try grade() }
    func test_ping_others() throws { try grade() }
    func test_ping_lost() throws { try grade() }
    func test_ping_deadline() throws { try grade() }
    func test_ping_eintr() throws { try grade() }
    func test_ping_loopback() throws { try grade() }

    // traceroute
    func test_trace_hops() throws { try grade() }
    func test_trace_silent() throws { try grade() }
    func test_trace_others() throws { try grade() }
    func test_trace_ends() throws { try grade() }
    func test_trace_loopback() throws { try grade() }
}
