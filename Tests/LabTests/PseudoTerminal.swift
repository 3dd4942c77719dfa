// A terminal for a program under test: what it writes is kept, keys and a new size can be sent (pty(7)).
import Foundation
import LabCore
import Sockets
import XCTest

/// One program on a terminal of its own, in a session of its own.
final class PseudoTerminal {
    let process: pid_t
    private let master: Int32
    /// Ours, so that the terminal's settings can still be read when the program has ended.
    private let slave: Int32
    private(set) var output: [UInt8] = []
    private var status: Int32?

    init(
        _ program: String, _ arguments: [String], in folder: URL, environment: [String: String], columns: Int, rows: Int
    )
        throws
    {
        var ends: (master: Int32, slave: Int32) = (-1, -1)
        var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        try check("openpty", openpty(&ends.master, &ends.slave, nil, nil, &size))
        (master, slave) = ends
        for end in [master, slave] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }

        var name = [CChar](repeating: 0, count: 128)
        guard ttyname_r(slave, &name, name.count) == 0 else { throw SocketError("ttyname", errno) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that a session leader opens is its controlling one.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(0x80))  // POSIX_SPAWN_SETSID, which needs _GNU_SOURCE
        let words = ["sh", "-c", "cd \"$0\" && exec \"$@\"", folder.path, program] + arguments
        let argv = words.map { strdup($0) } + [nil]
        let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var started: pid_t = 0
        let code = posix_spawnp(&started, "sh", &actions, &attributes, argv, envp)
        guard code == 0 else { throw SocketError("posix_spawn", code) }
        process = started
    }

    deinit {
        if status == nil {
            kill(process, SIGKILL)
            _ = ending(within: 10)
        }
        close(master)
        close(slave)
    }

    func press(_ keys: String) { _ = Array(keys.utf8).withUnsafeBytes { write(master, $0.baseAddress, $0.count) } }

    func resize(columns: Int, rows: Int) {
        var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)
    }

    /// Are typed characters shown and collected into lines, as a shell expects it?
    var isCooked: Bool {
        var settings = termios()
        guard tcgetattr(slave, &settings) == 0 else { return false }
        let flags = tcflag_t(ICANON | ECHO | ISIG)
        return settings.c_lflag & flags == flags
    }

    var text: String { String(decoding: output, as: UTF8.self) }

    /// The lines of the last screen that was drawn whole, without colours.
    var screen: [String] {
        let frames = text.components(separatedBy: "\u{1b}[?2026h")
        guard let last = frames.last(where: { $0.contains("\u{1b}[?2026l") }) else { return [] }
        let frame = last.components(separatedBy: "\u{1b}[?2026l")[0]
        return frame.replacing(/\u{1b}\[[0-9;?]*[A-Za-z]/, with: "").components(separatedBy: "\r\n")
    }

    /// Waits until the screen shows what is asked for.
    ///
    /// - Returns: how long that took, in seconds; nil if it did not.
    func waitForScreen(within seconds: Double = 60, _ condition: ([String]) -> Bool) -> Double? {
        let began = Date()
        while true {
            if condition(screen) { return Date().timeIntervalSince(began) }
            let left = seconds - Date().timeIntervalSince(began)
            guard left > 0, readMore(within: left) else { return nil }
        }
    }

    func waitForScreen(
        containing text: String, within seconds: Double = 60, file: StaticString = #filePath, line: UInt = #line
    ) {
        let found = waitForScreen(within: seconds) { $0.contains { $0.contains(text) } }
        XCTAssertNotNil(found, "no \"\(text)\" in:\n" + screen.joined(separator: "\n"), file: file, line: line)
    }

    /// Waits until the program has written `text`, so many times, screens or not.
    func waitForText(
        _ wanted: String, times: Int = 1, within seconds: Double = 60, file: StaticString = #filePath,
        line: UInt = #line
    ) {
        let began = Date()
        while text.components(separatedBy: wanted).count <= times {
            let left = seconds - Date().timeIntervalSince(began)
            guard left > 0, readMore(within: left) else {
                return XCTFail("no \"\(wanted)\" in:\n\(text)", file: file, line: line)
            }
        }
    }

    /// The exit status, or 128 + signal; nil if it has not ended in time.
    func ending(within seconds: Double) -> Int32? {
        let deadline = Date(timeIntervalSinceNow: seconds)
        // Ended means: nobody but us has the terminal open. Until then there may be output.
        while status == nil {
            var raw: Int32 = 0
            let ended = waitpid(process, &raw, WNOHANG)
            if ended == process {
                status = processExited(raw) != 0 ? processExitCode(raw) : 128 + processSignal(raw)
                while readMore(within: 0) {}
            } else if Date() > deadline {
                return nil
            } else {
                _ = readMore(within: 0.02)
            }
        }
        return status
    }

    private func readMore(within seconds: Double) -> Bool {
        var event = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        guard poll(&event, 1, Int32(min(seconds, 1000) * 1000)) > 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(master, &buffer, buffer.count)
        guard count > 0 else { return false }
        output += buffer.prefix(count)
        return true
    }
}
