// Where `lab` prints: standard output for what was asked for, standard error for everything else. Colour only where a
// terminal reads it.
import Course
import Foundation
import LabCore
import Sockets

struct Console: Sendable {
    var isTerminal: Bool
    var errorIsTerminal: Bool
    var inputIsTerminal: Bool
    var color: Bool
    var errorColor: Bool
    /// Columns of the terminal; 80 where there is none.
    var columns: Int

    /// Text is not stretched over more columns than are pleasant to read.
    var width: Int { min(80, columns) }

    init(noColor: Bool) {
        let environment = ProcessInfo.processInfo.environment
        // no-color.org: any value that is not empty.
        let plain = noColor || !(environment["NO_COLOR"] ?? "").isEmpty || environment["TERM"] == "dumb"
        isTerminal = isatty(STDOUT_FILENO) == 1
        errorIsTerminal = isatty(STDERR_FILENO) == 1
        inputIsTerminal = isatty(STDIN_FILENO) == 1
        color = isTerminal && !plain
        errorColor = errorIsTerminal && !plain
        columns = isTerminal ? Terminal.size(STDOUT_FILENO)?.columns ?? 80 : 80
    }

    func print(_ lines: [StyledText]) { write(lines.map { $0.rendered(color: color) + "\n" }.joined()) }

    func print(_ line: StyledText) { print([line]) }

    func print(_ text: String) { write(text + "\n") }

    /// A notice or an error, after `lab: `.
    func complain(_ message: String) {
        let width = errorIsTerminal ? Terminal.size(STDERR_FILENO)?.columns ?? 80 : Int.max
        let lines = visibleLines(message).enumerated().flatMap { index, line in
            StyledText((index == 0 ? "lab: " : "     ") + line).wrapped(to: width, hanging: 5)
        }
        Console.put(STDERR_FILENO, lines.map { $0.plain + "\n" }.joined())
    }

    private func write(_ text: String) {
        // The reader has left (`lab list | head`): so do we, as any program does (signal(7), SIGPIPE).
        if !Console.put(STDOUT_FILENO, text) { Interrupts.end(by: SIGPIPE) }
    }

    @discardableResult
    static func put(_ descriptor: Int32, _ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Sockets.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
