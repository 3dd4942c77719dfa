// What the lab is doing, for a person who waits: one line on standard error, only on a terminal, only after a second, and
// gone when there is something to read.
import Foundation
import LabCore

final class Activity: @unchecked Sendable {
    private let condition = NSCondition()
    private let isShown: Bool
    private let width: Int
    private var text: String?
    private var since = Date()
    private var isVisible = false
    private var isOver = false
    private var cleanup: Int?

    init(_ console: Console) {
        isShown = console.errorIsTerminal && ProcessInfo.processInfo.environment["TERM"] != "dumb"
        width = Terminal.size(2)?.columns ?? 80
        guard isShown else { return }
        cleanup = Interrupts.add { [self] in hide() }
        Thread.detachNewThread { [self] in run() }
    }

    /// Something else is being done from now on.
    func now(_ text: String) {
        condition.withLock {
            if self.text == nil { since = Date() }
            self.text = text
            condition.signal()
        }
    }

    /// Prints without the line in the way.
    func around(_ body: () -> Void) {
        condition.withLock {
            erase()
            since = Date()
            body()
        }
    }

    func hide() { condition.withLock { erase() } }

    func end() {
        condition.withLock {
            erase()
            isOver = true
            condition.signal()
        }
        if let cleanup { Interrupts.remove(cleanup) }
    }

    private func run() {
        let frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]
        var frame = 0
        condition.lock()
        defer { condition.unlock() }
        while !isOver {
            let seconds = Date().timeIntervalSince(since)
            if let text, seconds >= 1 {
                frame = (frame + 1) % frames.count
                let line = StyledText("\(frames[frame]) \(text)  \(Int(seconds)) s", .quiet).truncated(to: width - 1)
                Console.put(2, "\r\u{1b}[2K" + line.rendered(color: true))
                isVisible = true
            }
            _ = condition.wait(until: Date(timeIntervalSinceNow: 0.1))
        }
    }

    private func erase() {
        guard isVisible else { return }
        isVisible = false
        Console.put(2, "\r\u{1b}[2K")
    }
}
