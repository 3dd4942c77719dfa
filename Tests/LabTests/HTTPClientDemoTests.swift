import Foundation
import XCTest

/// `lab run http-client`: the reference's client and the reference's servers.
final class HTTPClientDemoTests: XCTestCase {
    func testAScriptGetsStatusAndBody() throws {
        let lines = [
            "PUT /greeting hello", "GET /greeting", "/greeting", "HEAD /greeting", "POST /list name=Ada city=北京",
            "PUT /json {\"a\": 1} ; GET /json ; DELETE /json ; GET /json",
        ]
        let ended = try DemoProcess.run(
            ["run", "http-client", "--port", "0"], input: lines.joined(separator: "\n") + "\n")
        XCTAssertEqual(ended.status, 0, ended.errors)
        let expected = [
            "201 Created", "200 OK", "hello", "200 OK", "hello", "200 OK", "201 Created", "201 Created", "200 OK",
            "{\"a\": 1}", "204 No Content", "404 Not Found",
        ]
        XCTAssertEqual(Array(ended.output.split(separator: "\n").map(String.init).prefix(expected.count)), expected)
    }

    func testWhatIsNoURLIsSaid() throws {
        let ended = try DemoProcess.run(["run", "http-client", "--port", "0"], input: "https://127.0.0.1/\n")
        XCTAssertEqual(ended.status, 3)
        XCTAssertEqual(ended.errors, "lab: The client threw unsupportedScheme.\n")
    }
}
