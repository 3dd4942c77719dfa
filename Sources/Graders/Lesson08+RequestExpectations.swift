// Lesson 08: what a request decoder is fed with, and what it must make of it.
import Course
import GraderKit
import Sockets
import Wire

/// `RequestLimits`, and the same as the default where nothing is said.
struct Limits {
    var line = 8192
    var head = 16_384
    var fields = 100
    var body = 1 << 20

    var value: Value { .list([.int(line), .int(head), .int(fields), .int(body)]) }
}

extension Trial {
    func decode(
        _ chunks: [[UInt8]], _ limits: Limits, in process: Subject? = nil
    ) throws -> DecodedRequests {
        let lengths = Value.list(chunks.map { .int($0.count) })
        let value = try begin(
            "request-decoder", [limits.value, .bytes(Array(chunks.joined())), lengths], in: process
        ).value()
        guard let answer = DecodedRequests(value) else { throw LabError("request-decoder answered \(value.text)") }
        return answer
    }

    /// Feeds the chunks: after each, exactly the events that are known by then.
    func expect(_ stream: RequestStream, in chunks: [[UInt8]], limits: Limits = Limits()) throws {
        let answer = try decode(chunks, limits)
        var fed = 0
        var got: [RequestStep] = []
        for (round, chunk) in chunks.enumerated() {
            fed += chunk.count
            let isLast = round >= answer.rounds.count - 1
            got = joined(got + (round < answer.rounds.count ? answer.rounds[round] : []))
            let expected = stream.expected(after: fed)
            guard got != expected || isLast && answer.ending != nil else { continue }
            let (missing, cause) = difference(got, expected, answer, stream, chunks, limits)
            let ending = isLast ? answer.ending.map { ", " + $0 } ?? "" : ""
            throw Failure(
                expected: say("fed ", "输入 ") + quoted(chunk, most: 60)
                    + (chunks.count > 1
                        ? say(" (chunk \(round + 1) of \(chunks.count))", "（\(chunks.count) 块中的第 \(round + 1) 块）") : "")
                    + say(": ", "，得到：") + text(of: Array(expected[missing...])),
                got: text(of: Array(got.dropFirst(missing))) + ending, cause: cause)
        }
    }

    /// Where two lists of events begin to differ, and the mistake that this looks like.
    private func difference(
        _ got: [RequestStep], _ expected: [RequestStep], _ answer: DecodedRequests, _ stream: RequestStream,
        _ chunks: [[UInt8]], _ limits: Limits
    ) -> (Int, String?) {
        if answer.error == "endless" { return (0, "event-again") }
        let first = zip(got, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        let index = first ?? min(got.count, expected.count)
        let all = stream.expected(after: stream.bytes.count)
        if chunks.count > 1, (try? decode([stream.bytes], limits))?.steps == all {
            // In one piece it is right. Nothing was refused, and all came in the end: only the body was late.
            if answer.steps == all { return (index, bodyIsBehind(got, expected) ? "body-kept-back" : "event-late") }
            // Cut elsewhere, a line or a head seems longer than it is.
            return (index, [414, 431].contains(answer.refused) ? "limit-shifted" : "half-request-lost")
        }
        if index < got.count, index < expected.count, case .head(_, _, _, let fields) = got[index],
            case .head(_, _, _, let right) = expected[index], fields != right
        {
            return (index, fieldMistake(fields, right))
        }
        if index < expected.count, case .body = expected[index] {
            if index < got.count, got[index] == .end { return (index, "body-ignored") }
            if answer.ending != nil { return (index, nil) }
            if index >= got.count { return (index, "body-kept-back") }
            if case .body = got[index] { return (index, "chunks-in-body") }
            return (index, "body-ignored")
        }
        // What is left of a request whose beginning was lost is refused.
        if answer.refused == 400, all.filter({ $0 == .end }).count > 1, let mistake = try? mistakeOfPipelining() {
            return (index, mistake)
        }
        if answer.refused != nil, index > 0, index >= got.count, got.last == .end, stream.chunkedEnds.contains(index) {
            return (index, "trailers-as-request")
        }
        if answer.ending == nil, index > 0, index >= got.count, got.last == .end {
            // The rest came with the next chunk, or never.
            let more = try? decode(chunks + [[]], limits)
            return (index, (more?.steps.count ?? 0) > got.count ? "one-request-a-chunk" : "next-request-lost")
        }
        return (index, nil)
    }

    /// What becomes of the second of two requests that come at once; nil if it is found.
    func mistakeOfPipelining() throws -> String? {
        var stream = RequestStream()
        stream.add("GET", "/first")
        let first = stream.expected(after: stream.bytes.count)
        stream.add("GET", "/second")
        let answer = try decode([stream.bytes], Limits())
        guard answer.steps == first, answer.ending == nil else { return nil }
        let isThere = try decode([stream.bytes, []], Limits()).steps.count > first.count
        return isThere ? "one-request-a-chunk" : "next-request-lost"
    }

    private func bodyIsBehind(_ got: [RequestStep], _ expected: [RequestStep]) -> Bool {
        guard case .body(let right)? = expected.last else { return false }
        if case .body(let bytes)? = got.last { return bytes.count < right.count }
        return got.count == expected.count - 1
    }

    private func fieldMistake(_ got: [[String]], _ right: [[String]]) -> String? {
        if got.count < right.count, got.allSatisfy(right.contains) { return "fields-in-dictionary" }
        if Set(got) == Set(right) { return "fields-in-dictionary" }
        let isSpace = zip(got, right).allSatisfy { pair in
            pair.0.count == 2 && pair.1.count == 2 && trimmed(Substring(pair.0[1])) == pair.1[1]
        }
        if got.count == right.count && isSpace { return "white-space-kept" }
        if got.count == right.count
            && zip(got, right).allSatisfy({ $0.0.first?.lowercased() == $0.1.first?.lowercased() })
            && zip(got, right).contains(where: { $0.0.first != $0.1.first })
        {
            return "names-changed"
        }
        return nil
    }

    /// Feeds bytes that must be refused, whole and byte by byte: at the last of them at the latest, with one of these
    /// statuses; nothing of them came out but `after`, behind a head.
    func expect(
        _ request: String, refused statuses: [Int], _ mistake: String, limits: Limits = Limits(),
        after: [RequestStep] = []
    ) throws {
        let bytes = Array(request.utf8)
        for chunks in bytes.count < 300 ? [whole(bytes), byteByByte(bytes)] : [whole(bytes)] {
            let answer = try decode(chunks, limits)
            let steps = answer.steps.filter { if case .head = $0 { false } else { true } }
            if let refused = answer.refused, statuses.contains(refused), steps == after { continue }
            let list = statuses.map { "\($0)" }.joined(separator: say(" or ", " 或 "))
            var cause: String? = mistake
            // Refused, and rightly; but what should have been refused had been accepted before.
            let isBehind = steps.count > after.count
            if let refused = answer.refused, !isBehind {
                cause = statuses.contains(refused) ? "good-requests-lost" : "wrong-refusal"
            }
            if answer.error != nil { cause = answer.isEndless ? "event-again" : "another-error" }
            throw Failure(
                expected: say("fed ", "输入 ") + quoted(bytes, most: 120)
                    + (chunks.count > 1 ? say(", byte by byte", "，逐字节") : "")
                    + say(": RequestRefused(status: \(list))", "：RequestRefused(status: \(list))"),
                got: answer.ending.map { (steps == after ? "" : text(of: steps) + ", ") + $0 }
                    ?? acceptedText(answer.steps), cause: cause)
        }
    }

    /// The byte after `count` makes it certain: fed one by one, it is refused there, and not before.
    func expectEarly(_ text: String, after count: Int, refused status: Int, limits: Limits) throws {
        let answer = try decode(byteByByte(Array(text.utf8)), limits)
        let expected = say(
            "RequestRefused(status: \(status)) at byte \(count + 1), without waiting for more",
            "第 \(count + 1) 个字节到来时抛出 RequestRefused(status: \(status))，不等后面的字节")
        guard let refused = answer.refused else {
            throw Failure(
                expected: expected, got: answer.ending ?? acceptedText(answer.steps), cause: "no-limit")
        }
        // Two bytes less, for those who know that a CR LF is still to come; two more, for those who wait for it.
        let place = answer.rounds.count
        if refused == status && (count - 1...count + 3).contains(place) { return }
        throw Failure(
            expected: expected,
            got: say(
                "RequestRefused(status: \(refused)) at byte \(place)",
                "第 \(place) 个字节时 RequestRefused(status: \(refused))"),
            cause: refused == status ? (place > count + 3 ? "limit-late" : "limit-shifted") : "wrong-refusal")
    }

    /// Four times the bytes may take eight times the CPU time, or half a second, whichever is more.
    ///
    /// - Parameter pattern: of a stream of so many bytes; how often it is repeated; how many requests that makes.
    func expectLinearCost(
        _ size: Int, chunk: Int, cause: String, pattern: (Int) -> ([UInt8], Int, Int)
    ) throws {
        let limits = Limits(line: 1 << 30, head: 1 << 30, fields: 1 << 30, body: 1 << 30)
        func seconds(_ size: Int) throws -> Double {
            let (bytes, times, requests) = pattern(size)
            let value = try begin(
                "request-decoder-cost", [limits.value, .bytes(bytes), .int(times), .int(chunk)]
            ).value(within: 120)
            guard case .list(let list) = value, list.count == 2, case .unsigned(let time) = list[1],
                case .int(let count) = list[0]
            else { throw LabError("request-decoder-cost answered \(value.text)") }
            guard count == requests else {
                throw Failure(
                    expected: say(
                        "requests in a stream of \(size) bytes: \(requests)", "\(size) 字节的流里的请求数：\(requests)"),
                    got: "\(count)", cause: count < requests ? try mistakeOfPipelining() : nil)
            }
            return Double(time) / 1e9
        }
        _ = try seconds(size / 8)
        let (small, large) = (try seconds(size), try seconds(4 * size))
        guard large > max(8 * small, 0.5) else { return }
        func text(_ seconds: Double) -> String { "\(Int(seconds * 1000)) ms" }
        throw Failure(
            expected: say(
                "\(size >> 10) KiB take \(text(small)), so \(size >> 8) KiB take about \(text(4 * small))",
                "\(size >> 10) KiB 用 \(text(small))，那么 \(size >> 8) KiB 约用 \(text(4 * small))"),
            got: say("\(text(large)) of CPU time", "用了 \(text(large)) 的 CPU 时间"), cause: cause)
    }

    /// Requests of all kinds, one behind the other, and the beginning of one more.
    func randomRequests() -> RequestStream {
        var stream = RequestStream()
        for number in 0..<Int.random(in: 1...6, using: &random) {
            let bytes = random.bytes(Int.random(in: 0...30, using: &random))
            let half = bytes.count / 2
            let bodies: [RequestStream.Body] = [
                .none, .length(bytes), .length([]), .chunked([]),
                .chunked([Array(bytes.prefix(half)), Array(bytes.dropFirst(half))].filter { !$0.isEmpty }),
                .chunked([[0x0d], [0x0a]], extensions: ";x=\(number)", trailers: ["X-A: 1", "X-B: 2"]),
            ]
            stream.add(
                ["GET", "POST", "PUT"].randomElement(using: &random) ?? "GET", "/\(number)",
                RequestStream.host + (0..<number).map { ("X-\($0): \($0)", "\($0)") },
                body: bodies.randomElement(using: &random) ?? .none)
        }
        stream.add(unfinished: "DELETE /half HTTP/1.1\r\nHos")
        return stream
    }

    func randomCuts(of stream: [UInt8]) -> [[UInt8]] {
        var rest = stream[...]
        var chunks: [[UInt8]] = []
        while !rest.isEmpty {
            let count = min(rest.count, Int.random(in: 0...40, using: &random))
            chunks.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return chunks
    }
}

func acceptedText(_ steps: [RequestStep]) -> String { say("no refusal: ", "没有拒绝：") + text(of: steps) }
