final class Lesson01: LessonTestCase {
    override class var slug: String { "01-byte-order" }

    func test_little_endian() throws { try grade() }
    func test_to_network_16() throws { try grade() }
    func test_to_network_32() throws { try grade() }
    func test_to_network_64() throws { try grade() }
    func test_to_host() throws { try grade() }

    func test_header_bytes() throws { try grade() }
    func test_header_fields() throws { try grade() }
    func test_header_extremes() throws { try grade() }
    func test_header_random() throws { try grade() }
    func test_header_slice() throws { try grade() }
    func test_header_truncated() throws { try grade() }
    func test_header_too_long() throws { try grade() }
    func test_header_version() throws { try grade() }

    func test_checksum_example() throws { try grade() }
    func test_checksum_odd() throws { try grade() }
    func test_checksum_empty() throws { try grade() }
    func test_checksum_carry() throws { try grade() }
    func test_checksum_long() throws { try grade() }
    func test_checksum_verify() throws { try grade() }
}
