// What an answer of a file server must be.
import Course
import Foundation
import GraderKit
import Sockets
import Wire

extension HTTPAnswer {
    func expect(_ status: Int, _ request: String) throws { try expect([status], request) }

    func expect(_ statuses: [Int], _ request: String) throws {
        guard !statuses.contains(status) else { return }
        let list = statuses.map { "\($0)" }.joined(separator: say(" or ", " 或 "))
        var cause: String?
        if statuses.contains(404) {
            if (300...399).contains(status) { cause = "redirect-for-missing" }
            if status == 200 { cause = "ok-for-missing" }
        }
        if status == 431 { cause = "limits-add-up" }
        if status == 416, request.contains("bytes=-") { cause = "suffix-longer-than-file" }
        if status >= 500 && status != 507 && statuses.allSatisfy({ $0 < 500 }) { cause = "own-error" }
        throw Failure(
            expected: say("\(list) for \(request)", "对 \(request) 回答 \(list)"), got: text, cause: cause)
    }

    func expectBody(_ expected: [UInt8], _ request: String) throws {
        guard body != expected else { return }
        // What a String puts in the place of bytes that are no text.
        let replacement = Data("\u{FFFD}".utf8)
        let isRepaired = Data(body).range(of: replacement) != nil && Data(expected).range(of: replacement) == nil
        throw Failure(
            expected: say(
                "the body \(quoted(expected)) (\(expected.count) bytes) for \(request)",
                "对 \(request) 的消息体是 \(quoted(expected))（\(expected.count) 字节）"),
            got: quoted(body) + say(" (\(body.count) bytes)", "（\(body.count) 字节）"),
            difference: byteDifference(expected: expected, got: body), cause: isRepaired ? "decoded-as-text" : nil)
    }

    /// `text/html; charset=utf-8`
    func expectType(_ types: [String], _ request: String, isText: Bool) throws {
        let parts = (self["Content-Type"] ?? "").split(separator: ";").map { trimmed($0).lowercased() }
        let charset = parts.dropFirst().first { $0.hasPrefix("charset=") }?.dropFirst(8).filter { $0 != "\"" }
        let right = types[0] + (isText ? "; charset=utf-8" : "")
        let isRight = parts.first.map(types.contains) ?? false
        guard !isRight || isText && charset != "utf-8" else { return }
        throw Failure(
            expected: say("Content-Type: \(right) for \(request)", "对 \(request) 回答 Content-Type: \(right)"),
            got: self["Content-Type"] ?? say("no Content-Type", "没有 Content-Type"),
            cause: isRight ? (charset == nil ? "charset-missing" : "charset-not-utf8") : nil)
    }

    func expectAllow(_ methods: [String], _ request: String) throws {
        let allowed = tokens("Allow")
        guard methods.contains(where: { !allowed.contains($0.lowercased()) }) else { return }
        throw Failure(
            expected: say(
                "Allow, with \(methods.joined(separator: ", ")), for \(request)",
                "对 \(request) 的回答里有 Allow，包含 \(methods.joined(separator: ", "))"),
            got: self["Allow"] ?? say("\(text), and no Allow", "\(text)，没有 Allow"), cause: "allow-missing")
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
    func expectDate(_ name: String, _ request: String, near time: time_t, within seconds: Int = 3600) throws {
        let expected = say(
            "\(name) as in Sun, 06 Nov 1994 08:49:37 GMT, for \(request)",
            "对 \(request) 的回答里有 \(name)，形如 Sun, 06 Nov 1994 08:49:37 GMT")
        guard let text = self[name] else {
            throw Failure(expected: expected, got: say("none", "没有"))
        }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "GMT")
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        guard let date = format.date(from: text), format.string(from: date) == text else {
            throw Failure(expected: expected, got: text, cause: "bad-date")
        }
        guard abs(Int(date.timeIntervalSince1970) - Int(time)) <= seconds else {
            throw Failure(
                expected: say(
                    "\(name) near \(format.string(from: Date(timeIntervalSince1970: TimeInterval(time)))), for \(request)",
                    "对 \(request) 的回答里 \(name) 接近 \(format.string(from: Date(timeIntervalSince1970: TimeInterval(time))))"
                ),
                got: text, cause: "bad-date")
        }
    }
}
