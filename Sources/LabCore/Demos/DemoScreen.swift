// Where a demo is seen, and where its lines come from. On a terminal there is a prompt, and what happens meanwhile is drawn
// above it; in a pipe there are lines in and answers out, and nothing else.
import Course
import Foundation
import Sockets

public final class DemoScreen: @unchecked Sendable {
    public let columns: Int
    public let inputIsTerminal: Bool
    public let outputIsTerminal: Bool
    private let color: Bool
    /// A line can be taken back.
    private let canErase: Bool
    private let lock = NSLock()
    private var prompt: String?
    private var readerHasLeft = false
    private var input: [UInt8] = []
    private var inputHasEnded = false

    public init(columns: Int, color: Bool, inputIsTerminal: Bool, outputIsTerminal: Bool) {
        self.columns = columns
        self.color = color
        self.inputIsTerminal = inputIsTerminal
        self.outputIsTerminal = outputIsTerminal
        canErase = outputIsTerminal && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    /// A person sits there: asks for lines, sees drawings.
    var isInteractive: Bool { inputIsTerminal && outputIsTerminal }

    /// A line that is being typed can be kept below what is printed.
    var canEdit: Bool { isInteractive && canErase }

    /// Columns of running text.
    var textWidth: Int { min(max(columns, 40), 100) }

    // MARK: Out

    func print(_ lines: [StyledText]) {
        guard !lines.isEmpty else { return }
        put(STDOUT_FILENO, lines.map { $0.rendered(color: color) + "\n" }.joined())
    }

    /// A paragraph.
    func print(_ text: String, _ style: Style = .plain) { print(StyledText(text, style).wrapped(to: textWidth)) }

    /// What a server answered: its very bytes in a pipe, and nothing that could drive a terminal on a terminal.
    func answer(_ bytes: [UInt8]) {
        if outputIsTerminal {
            print(visibleLines(String(decoding: bytes, as: UTF8.self)).map { StyledText($0, .strong) })
        } else {
            lock.withLock { emit(STDOUT_FILENO, bytes + [UInt8(ascii: "\n")]) }
        }
    }

    /// Bytes of a stream, as they came, for a script.
    func pass(_ bytes: [UInt8]) { lock.withLock { emit(STDOUT_FILENO, bytes) } }

    /// A line that somebody else edits, drawn anew; it stays below whatever is printed.
    func show(prompt text: String) {
        lock.withLock {
            prompt = text
            emit(STDOUT_FILENO, Array(("\r\u{1b}[K" + text).utf8))
        }
    }

    func rendered(_ text: StyledText) -> String { text.rendered(color: color) }

    /// Nobody waits for a line any more, though somebody may still be reading one.
    func endPrompt() {
        lock.withLock {
            guard prompt != nil else { return }
            prompt = nil
            emit(STDOUT_FILENO, Array((canErase ? "\r\u{1b}[K" : "\n").utf8))
        }
    }

    /// A line that is written again and again: how far something has come. On a terminal only.
    func progress(_ line: StyledText) {
        guard canErase else { return }
        lock.withLock {
            emit(STDOUT_FILENO, Array(("\r\u{1b}[K" + line.truncated(to: columns - 1).rendered(color: color)).utf8))
        }
    }

    /// It has been said, and makes room.
    func eraseProgress() {
        guard canErase else { return }
        lock.withLock { emit(STDOUT_FILENO, Array("\r\u{1b}[K".utf8)) }
    }

    /// The last state of it stays.
    func endProgress(_ line: StyledText) {
        let start = canErase ? "\r\u{1b}[K" : ""
        lock.withLock { emit(STDOUT_FILENO, Array((start + line.rendered(color: color) + "\n").utf8)) }
    }

    /// Behind the `^C` that the terminal shows.
    func endLine() {
        // Whoever writes now may be waiting for a terminal that does not read.
        guard outputIsTerminal, lock.try() else { return }
        defer { lock.unlock() }
        prompt = nil
        emit(STDOUT_FILENO, [UInt8(ascii: "\n")])
    }

    func complain(_ message: String) {
        put(STDERR_FILENO, "lab: " + visibleLines(message).joined(separator: "\n     ") + "\n")
    }

    private func put(_ descriptor: Int32, _ text: String) {
        lock.withLock {
            // The prompt makes room, and comes back below.
            guard let prompt else { return emit(descriptor, Array(text.utf8)) }
            emit(descriptor, Array(((canErase ? "\r\u{1b}[K" : "\n") + text).utf8))
            emit(STDOUT_FILENO, Array(prompt.utf8))
        }
    }

    /// Under the lock.
    private func emit(_ descriptor: Int32, _ bytes: [UInt8]) {
        guard !readerHasLeft, !writeAll(descriptor, bytes), descriptor == STDOUT_FILENO else { return }
        // `lab run handshake | head -3`: when the reader leaves, so do we. From a thread of its own, because whoever writes
        // may hold what has to be ended.
        readerHasLeft = true
        Thread.detachNewThread { Interrupts.end(by: SIGPIPE) }
    }

    // MARK: In

    /// The next line without its end; nil when there are no more. The prompt is shown to a person only.
    func readLine(prompt text: String = "> ") -> [UInt8]? {
        if isInteractive {
            lock.withLock {
                prompt = text
                emit(STDOUT_FILENO, Array(text.utf8))
            }
        }
        let line = nextLine()
        if isInteractive {
            lock.withLock { prompt = nil }
            if line == nil { put(STDOUT_FILENO, "\n") }
        }
        return line
    }

    private func nextLine() -> [UInt8]? {
        var searched = 0
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            if let end = input[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(input[..<end])
                input.removeFirst(end + 1)
                return line
            }
            searched = input.count
            if inputHasEnded {
                defer { input = [] }
                return input.isEmpty ? nil : input
            }
            let count = read(STDIN_FILENO, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            if count > 0 { input += buffer[..<count] } else { inputHasEnded = true }
        }
    }
}
