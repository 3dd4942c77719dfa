import Foundation
import GraderKit
import Sockets
import XCTest

/// `lab …` as a person or a script starts it: a process with pipes, which a test speaks to and waits for.
final class DemoProcess {
    struct Ended: Equatable {
        var status: Int32
        var output: String
        var errors: String
    }

    static var lab: URL { Program.products.appendingPathComponent("lab") }

    private let process = Process()
    private let input = Pipe()
    private let output: Collector
    private let errors: Collector
    private let ended = DispatchSemaphore(value: 0)
    /// In the environment of the process and of all that it starts, so that they can be found.
    private let mark = UUID().uuidString

    /// - Parameter lab: the program; another copy of it perhaps.
    init(_ arguments: [String], lab: URL = DemoProcess.lab, folder: URL? = nil, language: String = "en") throws {
        // A program that ends while it is written to is not the end of the test.
        signal(SIGPIPE, SIG_IGN)
        let (outputPipe, errorPipe) = (Pipe(), Pipe())
        process.executableURL = lab
        process.arguments = arguments
        process.currentDirectoryURL = folder
        process.environment = ProcessInfo.processInfo.environment.merging([
            "DEMO_TEST_MARK": mark, "LAB_LANG": language,
        ]) { $1 }
        (process.standardInput, process.standardOutput, process.standardError) = (input, outputPipe, errorPipe)
        process.terminationHandler = { [ended] _ in ended.signal() }
        output = Collector(outputPipe)
        errors = Collector(errorPipe)
        try process.run()
    }

    /// Runs it to its end on this input.
    static func run(
        _ arguments: [String], input: String = "", lab: URL = DemoProcess.lab, folder: URL? = nil,
        language: String = "en"
    ) throws -> Ended {
        let process = try DemoProcess(arguments, lab: lab, folder: folder, language: language)
        process.write(input)
        return try process.finish()
    }

    func write(_ text: String) {
        // It may have ended already: then its exit code tells.
        try? input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
    }

    /// Waits for `listening on HOST:PORT`, the first line of a server.
    func listening(file: StaticString = #filePath, line: UInt = #line) throws -> SocketAddress {
        let first = try XCTUnwrap(output.line(1), "no line; errors: \(errors.text)", file: file, line: line)
        let words = first.replacingOccurrences(of: "listening on ", with: "")
        let colon = try XCTUnwrap(words.lastIndex(of: ":"), first, file: file, line: line)
        let port = try XCTUnwrap(UInt16(words[words.index(after: colon)...]), first, file: file, line: line)
        let host = words[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        return try SocketAddress(host: host, port: port)
    }

    /// What it prints first.
    func firstLine() -> String? { output.line(1) }

    /// The line of this number, from 1 on.
    func line(_ number: Int) -> String? { output.line(number) }

    func endInput() { try? input.fileHandleForWriting.close() }

    func interrupt(_ signal: Int32) { kill(process.processIdentifier, signal) }

    /// Ends its input, waits for its end and for that of its output.
    func finish(file: StaticString = #filePath, line: UInt = #line) throws -> Ended {
        try? input.fileHandleForWriting.close()
        if ended.wait(timeout: .now() + 60) == .timedOut {
            kill(process.processIdentifier, SIGKILL)
            XCTFail("still running after a minute: \(errors.text)", file: file, line: line)
        }
        return Ended(status: process.terminationStatus, output: output.wholeText, errors: errors.wholeText)
    }

    /// Processes that it has started and left behind (proc(5)).
    var leftBehind: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.filter { name in
            guard Int32(name) != nil, let data = FileManager.default.contents(atPath: "/proc/\(name)/environ") else {
                return false
            }
            return data.range(of: Data("DEMO_TEST_MARK=\(mark)".utf8)) != nil
        }
    }

    /// Reads a pipe to its end, on a thread of its own.
    private final class Collector: @unchecked Sendable {
        private let condition = NSCondition()
        private var bytes: [UInt8] = []
        private var isAtEnd = false

        init(_ pipe: Pipe) {
            let handle = pipe.fileHandleForReading
            Thread.detachNewThread { [self] in
                while true {
                    let data = handle.availableData
                    condition.lock()
                    bytes += data
                    isAtEnd = data.isEmpty
                    condition.broadcast()
                    condition.unlock()
                    // Foundation keeps a process that has ended, and its pipes with it.
                    if data.isEmpty { return handle.closeFile() }
                }
            }
        }

        private func wait(_ isThere: () -> Bool) {
            let deadline = Date(timeIntervalSinceNow: 30)
            condition.lock()
            while !isThere() && !isAtEnd && condition.wait(until: deadline) {}
            condition.unlock()
        }

        var text: String { condition.withLock { String(decoding: bytes, as: UTF8.self) } }

        var wholeText: String {
            wait { false }
            return text
        }

        func line(_ number: Int) -> String? {
            wait { bytes.filter { $0 == UInt8(ascii: "\n") }.count >= number }
            let parts = text.split(separator: "\n", maxSplits: number, omittingEmptySubsequences: false)
            return parts.count > number ? String(parts[number - 1]) : nil
        }
    }
}

/// A client or a server of a test's own: plain calls, with a limit to how long they wait.
final class PlainSocket {
    let descriptor: Int32

    init(_ type: Int32) throws {
        descriptor = try check("socket", socket(AF_INET, type, 0))
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    private init(accepted: Int32) { descriptor = accepted }

    deinit { close(descriptor) }

    static func connected(_ type: Int32, to address: SocketAddress) throws -> PlainSocket {
        let socket = try PlainSocket(type)
        try check("connect", address.withSockaddr { connect(socket.descriptor, $0, $1) })
        return socket
    }

    /// At a port that the system chose; streams listen.
    static func bound(_ type: Int32, host: String = "127.0.0.1") throws -> PlainSocket {
        let socket = try PlainSocket(type)
        let any = try SocketAddress(host: host, port: 0)
        try check("bind", any.withSockaddr { bind(socket.descriptor, $0, $1) })
        if type == SOCK_STREAM { try check("listen", listen(socket.descriptor, 8)) }
        return socket
    }

    var address: SocketAddress { get throws { try .local(of: descriptor) } }

    func accept() throws -> PlainSocket {
        PlainSocket(accepted: try check("accept", Sockets.accept(descriptor, nil, nil)))
    }

    func send(_ bytes: [UInt8]) throws {
        try check("send", Sockets.send(descriptor, bytes, bytes.count, MSG_NOSIGNAL))
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    func receive() throws -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = try check("recv", recv(descriptor, &buffer, buffer.count, 0))
        return Array(buffer[..<count])
    }

    /// Exactly so many bytes of a stream, or fewer at its end.
    func receive(_ count: Int) throws -> String {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try receive()
            if more.isEmpty { break }
            bytes += more
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
