import Foundation
import GraderKit
import Graders
import Sockets
import XCTest

/// `lab run behind-nginx`, where nginx is installed.
final class NginxDemoTests: XCTestCase {
    override func setUpWithError() throws {
        do { _ = try Nginx.program() } catch let missing as Unavailable { throw XCTSkip(missing.reason) }
    }

    func testNoRequestIsLost() throws {
        let demo = try DemoProcess(["run", "behind-nginx"])
        let ended = try demo.finish()
        XCTAssertEqual(ended.status, 0, ended.errors)
        XCTAssertEqual(ended.errors, "")
        for name in ["b1", "b2", "b3"] { XCTAssert(ended.output.contains("GET /  ─▶ \(name)"), ended.output) }
        XCTAssert(ended.output.contains(" requests, 0 lost."), ended.output)
        XCTAssertEqual(demo.leftBehind, [])
    }

    func testServesUntilCtrlC() throws {
        let demo = try DemoProcess(["run", "behind-nginx", "--serve"])
        let address = try demo.listening()
        let answer = RequestLoad.ask(address)
        XCTAssertEqual(answer.status, 200)
        XCTAssert(answer.body.hasSuffix(" 127.0.0.1 http\n"), answer.body)
        demo.interrupt(SIGINT)
        XCTAssertEqual(try demo.finish().status, 0)
        XCTAssertEqual(demo.leftBehind, [])
    }

    /// Nobody is there any more to end nginx: it ends by itself.
    func testNginxEndsWithAKilledDemo() throws {
        let demo = try DemoProcess(["run", "behind-nginx", "--serve"])
        let address = try demo.listening()
        demo.interrupt(SIGKILL)
        _ = try demo.finish()
        let deadline = Deadline()
        while !demo.leftBehind.isEmpty && !deadline.hasPassed { poll(nil, 0, 20) }
        XCTAssertEqual(demo.leftBehind, [])
        XCTAssertEqual(RequestLoad.ask(address).status, 0)
    }
}
