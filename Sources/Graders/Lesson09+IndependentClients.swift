// WebSocket clients that nobody here wrote: Python's `websockets`, and URLSession where its libcurl can.
import Course
import Foundation
import GraderKit
import Sockets

#if canImport(FoundationNetworking)
import FoundationNetworking
#endif

let independentClientChecks: [Check] = [
    Check(
        "echo-python",
        suspects: Cause.sentFrames + [.pongWithoutPayload, .pingNotAnswered, .refusedRightFrame, .endedWithoutClose]
    ) { trial in
        let interpreter = try PythonPeer.interpreter(with: "websockets")
        let server = try trial.serve("echo-server")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: interpreter)
        process.arguments = ["-c", conversation, "ws://\(server.address)/", "\(Deadline.patience * Deadline.scale)"]
        let output = Pipe()
        (process.standardOutput, process.standardError) = (output, output)
        process.standardInput = FileHandle.nullDevice
        trial.note(say("\(interpreter): websockets connects", "\(interpreter)：websockets 发起连接"))
        try process.run()
        // It ends by itself: each of its waits has an end.
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let last = said.split(separator: "\n").last.map(String.init) ?? ""
        guard process.terminationStatus == 0, last == "done" else {
            throw Failure(
                expected: say(
                    "Python's websockets gets its messages back, a pong, and a close with 4001",
                    "Python 的 websockets 收回它的消息、pong 和代码 4001 的关闭"), got: last,
                cause: last.contains("invalid Sec-WebSocket-Accept")
                    ? "accept-key-wrong" : last.hasSuffix("came back as 'in '") ? "fragments-echoed-apart" : nil)
        }
    },
    Check("echo-url-session") { trial in
        let server = try trial.serve("echo-server")
        guard let url = URL(string: "ws://\(server.address)/") else { throw LabError("\(server.address)") }
        try trial.withURLSession { session in
            let task = session.webSocketTask(with: url)
            task.resume()
            let long = String(decoding: trial.random.letters(70_000), as: UTF8.self)
            for text in ["hello, 世界", "", long] {
                try task.expectEcho(.string(text))
            }
            try task.expectEcho(.data(Data([0, 0xFF, 0xFE])))
            task.cancel(with: .normalClosure, reason: nil)
        }
    },
]

/// Sends, and expects the same back. Arguments: the address, and how many seconds a wait may take.
private let conversation = """
    import asyncio, sys, websockets
    address, patience = sys.argv[1], float(sys.argv[2])
    async def soon(what):
        return await asyncio.wait_for(what, patience)
    async def main():
        socket = await soon(websockets.connect(address, max_size=None, compression=None))
        for message in ["hello, 世界", "", b"", b"\\x00\\xff", "x" * 126, "y" * 65536, b"z" * 1000000]:
            await soon(socket.send(message))
            answer = await soon(socket.recv())
            if answer != message:
                raise SystemExit(f"{message[:20]!r} came back as {answer[:20]!r}")
        await soon(socket.send(["in ", "three ", "fragments"]))
        answer = await soon(socket.recv())
        if answer != "in three fragments":
            raise SystemExit(f"the fragments came back as {answer!r}")
        await soon(await socket.ping(b"there?"))
        await soon(socket.close(4001, "bye"))
        if socket.close_code != 4001:
            raise SystemExit(f"the close code came back as {socket.close_code}")
        print("done")
    asyncio.run(main())
    """

extension URLSessionWebSocketTask {
    fileprivate func expectEcho(_ message: Message) throws {
        let wanted = say("URLSession gets \(message.words) back", "URLSession 收回 \(message.words)")
        try wait(wanted) { done in self.send(message) { done($0.map { .failure($0) } ?? .success(nil)) } }
        let answer = try wait(wanted) { done in self.receive { done($0.map { $0 }) } }
        guard answer?.words == message.words else {
            throw Failure(expected: wanted, got: answer?.words ?? say("nothing", "什么也没有"))
        }
    }

    @discardableResult
    private func wait(
        _ expected: String, for begin: (@escaping @Sendable (Result<Message?, any Error>) -> Void) -> Void
    ) throws -> Message? {
        let done = DispatchSemaphore(value: 0)
        nonisolated(unsafe) var result: Result<Message?, any Error>?
        begin {
            result = $0
            done.signal()
        }
        guard done.wait(timeout: .now() + Deadline.patience * Deadline.scale) == .success, let result else {
            throw Failure(expected: expected, got: say("nothing", "什么也没有"))
        }
        switch result {
        case .success(let message): return message
        case .failure(let error):
            // Foundation on Linux leaves WebSocket to libcurl, and Debian 12's was built without.
            if "\(error)".contains("WebSockets not supported") {
                throw Unavailable(
                    say(
                        "URLSession's libcurl was built without WebSocket here (`curl --version` lists no ws)",
                        "这里 URLSession 所用的 libcurl 不支持 WebSocket（`curl --version` 没有列出 ws）"))
            }
            throw Failure(expected: expected, got: "\(error)")
        }
    }
}

extension URLSessionWebSocketTask.Message {
    fileprivate var words: String {
        switch self {
        case .string(let text): text.count > 40 ? say("a text of \(text.count)", "长度 \(text.count) 的文本") : "\"\(text)\""
        case .data(let data): say("binary ", "二进制 ") + hexText(Array(data))
        @unknown default: say("a message of another kind", "另一种消息")
        }
    }
}
