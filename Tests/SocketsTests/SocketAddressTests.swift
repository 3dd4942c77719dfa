import Sockets
import XCTest

final class SocketAddressTests: XCTestCase {
    func testIPv4IsTheBytesOfSockaddrIn() throws {
        let address = try SocketAddress(host: "127.0.0.1", port: 53)
        XCTAssertEqual(address.bytes, [2, 0, 0, 53, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0])
        XCTAssertEqual(address.description, "127.0.0.1:53")
        XCTAssertEqual(address.family, AF_INET)
    }

    func testIPv6IsWrittenInBrackets() throws {
        let address = try SocketAddress(host: "::1", port: 8080)
        XCTAssertEqual(address.description, "[::1]:8080")
        XCTAssertEqual(address.bytes.count, 28)
        XCTAssertEqual(address.port, 8080)
    }

    func testNamesAndBadAddressesAreRefused() {
        for host in ["localhost", "127.1", "256.0.0.1", "", "::g"] {
            XCTAssertThrowsError(try SocketAddress(host: host, port: 1)) {
                XCTAssertEqual(($0 as? SocketError)?.code, EINVAL)
            }
        }
    }

    func testUnixPathThatDoesNotFitIsRefusedNotCut() throws {
        XCTAssertEqual(try SocketAddress(unixPath: String(repeating: "x", count: 107)).host.utf8.count, 107)
        XCTAssertThrowsError(try SocketAddress(unixPath: String(repeating: "x", count: 108))) {
            XCTAssertEqual(($0 as? SocketError)?.code, ENAMETOOLONG)
        }
    }

    func testCheckThrowsTheCallAndItsErrno() {
        XCTAssertThrowsError(try check("close", close(-1))) {
            XCTAssertEqual("\($0)", "close: Bad file descriptor (EBADF)")
        }
    }
}
