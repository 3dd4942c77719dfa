// A terminal in the hands of a program: its size, keys as they are pressed, a screen of its own, and everything put back
// when the program ends, in whichever way (termios(3), ECMA-48, xterm's private modes).
import Foundation
import Sockets

public final class Terminal: @unchecked Sendable {
    public struct Size: Equatable, Sendable {
        public var columns: Int
        public var rows: Int
    }

    /// Nil if the descriptor is no terminal, or one that does not know its size.
    public static func size(_ descriptor: Int32) -> Size? {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
        return Size(columns: Int(size.ws_col), rows: Int(size.ws_row))
    }

    /// No style, a cursor, the screen that was there before.
    private static let farewell = "\u{1b}[?2026l\u{1b}[0m\u{1b}[?25h\u{1b}[?1049l"
    /// For one that stays on the screen that was there.
    private static let shortFarewell = "\u{1b}[0m\u{1b}[?25h"

    private let input: Int32
    private let output: Int32
    private let lock = NSLock()
    private var saved: termios?
    private var cleanup: Int?
    private var farewell = Terminal.farewell

    public init(input: Int32 = STDIN_FILENO, output: Int32 = STDOUT_FILENO) {
        self.input = input
        self.output = output
    }

    public var size: Size { Terminal.size(output) ?? Size(columns: 80, rows: 24) }

    /// Keys come one by one and unechoed, Ctrl-C among them.
    ///
    /// - Parameter alternateScreen: it is shown, without a cursor; false: the screen stays, and so does the cursor.
    public func enter(alternateScreen: Bool = true) {
        lock.withLock {
            guard saved == nil else { return }
            var settings = termios()
            guard tcgetattr(input, &settings) == 0 else { return }
            saved = settings
            var raw = settings
            raw.c_iflag &= ~tcflag_t(ICRNL | IXON | BRKINT | INPCK | ISTRIP)
            raw.c_lflag &= ~tcflag_t(ECHO | ICANON | IEXTEN | ISIG)
            cleanup = cleanup ?? Interrupts.add { [self] in leave() }
            farewell = alternateScreen ? Terminal.farewell : Terminal.shortFarewell
            CrashGuard.arm(input: input, output: output, settings: settings, farewell: farewell)
            tcsetattr(input, TCSAFLUSH, &raw)
            if alternateScreen { put("\u{1b}[?1049h\u{1b}[?25l\u{1b}[2J\u{1b}[H") }
        }
    }

    /// As it was before `enter`.
    public func leave() {
        lock.withLock {
            guard var settings = saved else { return }
            saved = nil
            CrashGuard.disarm()
            put(farewell)
            tcsetattr(input, TCSAFLUSH, &settings)
        }
    }

    /// Shows these lines, each cut to the screen's width by the caller; in one write, so that nothing flickers.
    public func draw(_ lines: [String]) {
        let rows = size.rows
        // Each line is erased before it is written: after its last column is filled, some terminals would erase that.
        var frame = "\u{1b}[?2026h\u{1b}[H"
        for (index, line) in lines.prefix(rows).enumerated() {
            frame += (index == 0 ? "" : "\r\n") + "\u{1b}[2K" + line
        }
        if lines.count < rows { frame += "\r\n\u{1b}[J" }
        frame += "\u{1b}[?2026l"
        put(frame)
    }

    /// Empties the screen: something else has written on it.
    public func clear() { put("\u{1b}[2J") }

    private func put(_ text: String) { writeAll(output, Array(text.utf8)) }
}
