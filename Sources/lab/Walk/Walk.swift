// The interactive walk: the loop between a person, a terminal, an editor that saves files, and `lab check`.
//
// The checks run in a process of their own (`lab check … --json`): a new save ends it, whatever it waits for, and begins
// another. What it prints are events; what the screen shows comes from `WalkState` alone.
import Course
import Foundation
import GraderKit
import LabCore
import Sockets

final class Walk {
    private enum Message: Sendable {
        case event(run: Int, Event)
        case ended(run: Int, status: Int32, errors: String)
    }

    private let console: Console
    private let workspace: Workspace
    private let terminal = Terminal()
    private let mailbox: Mailbox<Message>
    private var state: WalkState
    private var watch: FileWatch
    private var run = 0
    private var stop: Stop?
    private var tick = 0
    private var isOver = false

    /// Nil if there is nothing to walk through.
    init?(_ invocation: Invocation, _ workspace: Workspace, _ catalogue: Catalogue) throws(CommandError) {
        let progress = invocation.progress(workspace)
        guard let state = WalkState(catalogue: catalogue, workspace: workspace, progress: progress) else { return nil }
        self.state = state
        self.workspace = workspace
        console = invocation.console
        mailbox = try Mailbox()
        watch = try FileWatch([workspace.exercises(state.lesson)])
    }

    func walk() throws(CommandError) {
        mailbox.listenForResizes()
        terminal.enter()
        defer { terminal.leave() }
        check()
        while !isOver {
            draw()
            try wait()
        }
        stop?.stop()
        terminal.leave()
        stop?.waitForEnd(atMost: 3)
    }

    // MARK: The loop

    private func wait() throws(CommandError) {
        var events = [STDIN_FILENO, watch.descriptor, mailbox.descriptor].map {
            pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
        }
        // While something runs, the screen shows that time passes.
        let ready = poll(&events, nfds_t(events.count), state.isRunning ? 100 : -1)
        if ready <= 0 { tick += 1 }
        guard ready > 0 else { return }
        if events[0].revents != 0 { try readKeys() }
        if events[1].revents != 0 { noticeSaves() }
        if events[2].revents != 0 { for message in mailbox.take() { receive(message) } }
    }

    private func draw() {
        let size = terminal.size
        let screen = WalkScreen(columns: size.columns, rows: size.rows, now: Date(), tick: tick)
        terminal.draw(screen.lines(&state).map { $0.rendered(color: console.color) })
    }

    private func readKeys() throws(CommandError) {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = read(STDIN_FILENO, &buffer, buffer.count)
        if count < 0 && errno == EINTR { return }
        guard count > 0 else {
            isOver = true  // the terminal is gone
            return
        }
        for key in Key.parse(Array(buffer.prefix(count))) where !isOver {
            switch key {
            case .control("z"): suspend()
            case .control("l"): terminal.clear()
            default: try carryOut(state.press(key))
            }
        }
    }

    private func carryOut(_ action: WalkState.Action) throws(CommandError) {
        switch action {
        case .none: break
        case .quit: isOver = true
        case .check:
            watch = try FileWatch([workspace.exercises(state.lesson)])
            let here = "\(state.lesson.slug)/\(state.exercise.id)"
            keep { $0.here = here }
            check()
        case .edit: edit()
        case .hint(let check): hint(check)
        case .askForSolution: askForSolution()
        case .showText: showText()
        case .showTrace(let check): showTrace(check)
        }
    }

    /// Ctrl-Z: the shell gets its terminal back as it was, and we draw anew when we are called back.
    private func suspend() {
        terminal.leave()
        raise(SIGTSTP)
        terminal.enter()
    }

    // MARK: Checking

    private func noticeSaves() {
        let files = watch.saved().filter { $0.pathExtension == "swift" }
        guard let file = files.first(where: { $0.lastPathComponent == state.exercise.file }) ?? files.first else {
            return
        }
        state.saved = (file.lastPathComponent, clock())
        check()
    }

    /// Begins anew, whatever was running.
    private func check() {
        stop?.stop()
        let stop = Stop()
        self.stop = stop
        run += 1
        state.begin(at: Date())
        let (run, mailbox) = (run, mailbox)
        let words = [state.lesson.number] + state.exercise.checks.map(\.id)
        start(["check", "--json"] + words, stop) { line in
            if let event = try? Event(json: line) { mailbox.put(.event(run: run, event)) }
        } ended: { status, errors in
            mailbox.put(.ended(run: run, status: status, errors: errors))
        }
    }

    /// Runs this very program in the background.
    private func start(
        _ arguments: [String], _ stop: Stop, line: @escaping @Sendable (String) -> Void,
        ended: @escaping @Sendable (Int32, String) -> Void
    ) {
        guard let lab = executablePath() else { return ended(ExitCode.failure.rawValue, "/proc/self/exe") }
        let all = arguments + ["--lang", Language.current.rawValue]
        let thread = Thread {
            do throws(CommandError) {
                let result = try Subprocess.run(lab, all, stop: stop, line: line)
                ended(result.status, result.errors)
            } catch { ended(error.exit.rawValue, error.description) }
            stop.ended()
        }
        thread.stackSize = 1 << 20
        stop.expect()
        thread.start()
    }

    private func receive(_ message: Message) {
        switch message {
        case .event(let run, let event):
            if run == self.run { state.add(event) }
        case .ended(let run, let status, let errors):
            guard run == self.run else { return }
            if state.isRunning || status > ExitCode.notPassed.rawValue { explain(status, errors) }
            state.progress = ProgressFile(workspace).read().progress
        }
    }

    private func explain(_ status: Int32, _ errors: String) {
        if case .broken = state.run { return }
        let message = errors.trimmingCharacters(in: .whitespacesAndNewlines)
        state.run = .failed(
            message.isEmpty
                ? say("lab check ended with status \(status)", "lab check 以状态 \(status) 结束") : message)
    }

    // MARK: What the keys do

    private func keep(_ change: (inout CourseProgress) -> Void) {
        do throws(CommandError) {
            state.notice = try ProgressFile(workspace).update(change) ?? state.notice
        } catch { state.notice = error.description }
        change(&state.progress)
    }

    private func hint(_ id: String) {
        guard let check = state.exercise.checks.first(where: { $0.id == id }) else { return }
        var shown = 1
        let slug = state.lesson.slug
        keep { shown = $0.nextHint(id, of: slug, count: check.hints.count) }
        if state.hints == check.hints.count { state.notice = say("That was the last hint.", "这是最后一个提示。") }
        state.hints = min(check.hints.count, max(shown, state.hints + 1))
        state.scroll = 0
    }

    private func showText() {
        // Where the selected check is taught.
        let check = state.exercise.checks.first { $0.id == state.selected }
        let (lesson, anchor) = state.catalogue.place(check?.read ?? "", in: state.lesson)
        let file = workspace.text(of: lesson, in: Language.current)
        guard let source = try? String(contentsOf: file, encoding: .utf8) else {
            state.notice = say("\(workspace.relative(file)) cannot be read.", "读不了 \(workspace.relative(file))。")
            return
        }
        let width = min(80, terminal.size.columns - 2)
        let renderer = MarkdownText(width: width, color: console.color)
        let text = Markdown(source)
        let lines = renderer.lines(text)
        let rest = text.from(anchor).map { renderer.lines($0).count } ?? lines.count
        state.open(workspace.relative(file), lines, at: max(0, lines.count - rest))
    }

    private func askForSolution() {
        let (lesson, exercise) = (state.lesson, state.exercise)
        if !state.isPassed, !state.progress.passed(exercise, of: lesson) {
            var asked = 1
            keep { asked = $0.askForSolution(exercise.id, of: lesson.slug) }
            if asked < 2 {
                state.notice = say(
                    "Not passed yet: h gives a hint; s once more shows the solution.", "还没有通过：h 给提示；再按一次 s 就看答案。")
                return
            }
        }
        let file = workspace.solution(exercise, of: lesson)
        do throws(CommandError) {
            state.open(workspace.relative(file), try Command.source(file, workspace))
        } catch { state.notice = error.description }
    }

    private func showTrace(_ check: String) {
        if let trace = state.verdicts[check]?.trace, !trace.isEmpty { return showTrace(check, trace) }
        state.notice = state.isRunning ? say("Still judging.", "还在评判。") : say("Nothing was recorded.", "没有记录。")
    }

    private func showTrace(_ check: String, _ trace: [TraceLine]) {
        let side = say("your \(state.exercise.id)", "你的 \(state.exercise.id)")
        let text = TraceText(width: min(140, terminal.size.columns - 2), program: side)
        state.open("\(state.lesson.number) \(check)", text.lines(trace))
    }

    private func edit() {
        let environment = ProcessInfo.processInfo.environment
        let named = [environment["VISUAL"], environment["EDITOR"]].compactMap { $0 }.first { !$0.isEmpty }
        guard let editor = named ?? ["nano", "vim", "vi"].first(where: { which($0) != nil }) else {
            state.notice = say("Set EDITOR to the editor that you use.", "请把 EDITOR 设为你用的编辑器。")
            return
        }
        terminal.leave()
        defer { terminal.enter() }
        let file = workspace.file(state.exercise, of: state.lesson).path
        do throws(CommandError) {
            // EDITOR may hold options: the shell takes it apart.
            try Subprocess.runOnTerminal(editor + " \"$@\"", arguments: [file])
        } catch { state.notice = error.description }
    }

    private func clock() -> String {
        var time = time(nil)
        var parts = tm()
        localtime_r(&time, &parts)
        return [parts.tm_hour, parts.tm_min, parts.tm_sec].map { ($0 < 10 ? "0" : "") + "\($0)" }.joined(separator: ":")
    }
}
