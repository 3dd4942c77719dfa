final class Lesson02: LessonTestCase {
    override class var slug: String { "02-addresses" }

    func test_parse_v4() throws { try grade() }
    func test_parse_v6() throws { try grade() }
    func test_parse_refuses() throws { try grade() }
    func test_parse_zero_byte() throws { try grade() }
    func test_format_v4() throws { try grade() }
    func test_format_v6() throws { try grade() }
    func test_format_length() throws { try grade() }

    func test_by_hand_accepts() throws { try grade() }
    func test_by_hand_range() throws { try grade() }
    func test_by_hand_zeros() throws { try grade() }
    func test_by_hand_parts() throws { try grade() }
    func test_by_hand_characters() throws { try grade() }
    func test_by_hand_random() throws { try grade() }

    func test_sockaddr_in() throws { try grade() }
    func test_sockaddr_in6() throws { try grade() }
    func test_sockaddr_refuses() throws { try grade() }
    func test_sockaddr_un() throws { try grade() }
    func test_unix_longest() throws { try grade() }
    func test_unix_zero_byte() throws { try grade() }

    func test_endpoint_v4() throws { try grade() }
    func test_endpoint_v6() throws { try grade() }
    func test_endpoint_port() throws { try grade() }
    func test_endpoint_refuses() throws { try grade() }

    func test_resolve_numeric() throws { try grade() }
    func test_resolve_localhost() throws { try grade() }
    func test_resolve_several() throws { try grade() }
    func test_resolve_once() throws { try grade() }
    func test_resolve_freed() throws { try grade() }
    func test_resolve_error() throws { try grade() }

    func test_describe_tcp() throws { try grade() }
    func test_describe_v6() throws { try grade() }
    func test_describe_udp() throws { try grade() }
    func test_describe_unix() throws { try grade() }
    func test_describe_unconnected() throws { try grade() }
    func test_describe_error() throws { try grade() }
    func test_describe_borrowed() throws { try grade() }
}
