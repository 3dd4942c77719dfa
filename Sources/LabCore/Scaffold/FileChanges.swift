// Several files that belong together, written so that all of them are there or none. They are prepared in a folder of
// the lab's own and then renamed into place. A journal lists them before the first rename: if the machine stops in
// between, the next `lab new` finishes what was begun.
import Course
import Foundation
import Sockets
import Synchronization

public struct FileChanges: Codable, Equatable, Sendable {
    public struct Change: Codable, Equatable, Sendable {
        /// Relative to the package's folder.
        public var path: String
        /// What the file must hold now; nil if there must be none.
        public var before: String?
        public var after: String
    }

    /// Those that register others come last.
    public private(set) var changes: [Change] = []

    public init() {}

    public mutating func create(_ path: String, _ text: String) {
        changes.append(Change(path: path, before: nil, after: text))
    }

    public mutating func replace(_ path: String, _ before: String, by after: String) {
        changes.append(Change(path: path, before: before, after: after))
    }

    public var created: [String] { changes.filter { $0.before == nil }.map(\.path) }
    public var edited: [String] { changes.filter { $0.before != nil }.map(\.path) }
}

/// Writes `FileChanges`, one set at a time.
public struct FileTransaction {
    private let workspace: Workspace
    private let folder: URL
    private var journal: URL { folder.appendingPathComponent("journal.json") }

    public init(_ workspace: Workspace) {
        self.workspace = workspace
        // Beside the files' own places: rename(2) does not cross file systems.
        folder = workspace.state.appendingPathComponent("new")
    }

    /// Makes all of the changes, or none.
    public func commit(_ changes: FileChanges) throws(CommandError) {
        let lock = try lock()
        defer { close(lock) }
        try finishLocked()
        try verify(changes)
        let stage = Mutex(Stage.preparing)
        // Ctrl-C while files are being prepared: they go. Later it waits until all of them are in their places.
        let cleanup = Interrupts.add { [folder] in
            stage.withLock { stage in
                guard stage == .preparing else { return }
                stage = .abandoned
                try? FileManager.default.removeItem(at: folder)
            }
        }
        defer { Interrupts.remove(cleanup) }
        do throws(CommandError) {
            let files = changes.changes.enumerated().map { (Data($1.after.utf8), prepared($0)) }
            for (data, file) in files + [(try journalData(changes), journal)] {
                try stage.withLock { (stage) throws(CommandError) in
                    if stage == .preparing { try writeAtomically(data, to: file) }
                }
            }
        } catch {
            discard()
            throw error
        }
        let isDone = try Interrupts.held { () throws(CommandError) in
            let isAbandoned = stage.withLock { stage in
                if stage == .preparing { stage = .moving }
                return stage == .abandoned
            }
            if !isAbandoned { try moveIntoPlace(changes) }
            return !isAbandoned
        }
        if !isDone { waitForTheEnd() }
    }

    private enum Stage {
        case preparing
        case moving
        /// A signal came first; its thread is ending the process.
        case abandoned
    }

    private func waitForTheEnd() -> Never { while true { pause() } }

    /// Finishes what a run that was stopped had begun.
    ///
    /// - Returns: the files that it wrote.
    @discardableResult
    public func finish() throws(CommandError) -> [String] {
        guard FileManager.default.fileExists(atPath: folder.path) else { return [] }
        let lock = try lock()
        defer { close(lock) }
        return try finishLocked()
    }

    @discardableResult
    private func finishLocked() throws(CommandError) -> [String] {
        guard let data = try? Data(contentsOf: journal) else {
            discard()
            return []
        }
        let changes: FileChanges
        do { changes = try JSONDecoder().decode(FileChanges.self, from: data) } catch { throw damaged() }
        // What is not prepared any more must have been moved.
        for (index, change) in changes.changes.enumerated()
        where !FileManager.default.fileExists(atPath: prepared(index).path) {
            guard content(of: workspace.root.appendingPathComponent(change.path)) == change.after else {
                throw damaged()
            }
        }
        try Interrupts.held { () throws(CommandError) in try moveIntoPlace(changes) }
        return changes.changes.map(\.path)
    }

    private func moveIntoPlace(_ changes: FileChanges) throws(CommandError) {
        for (index, change) in changes.changes.enumerated() {
            let file = workspace.root.appendingPathComponent(change.path)
            // Moved by the run that was stopped.
            guard FileManager.default.fileExists(atPath: prepared(index).path) else { continue }
            guard content(of: file) == change.before else { throw changed(change.path) }
            do {
                try FileManager.default.createDirectory(
                    at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            } catch { throw cannotWrite(change.path, reason(error)) }
            guard rename(prepared(index).path, file.path) == 0 else {
                let code = errno
                throw cannotWrite(change.path, errorText(code))
            }
        }
        discard()
    }

    private func verify(_ changes: FileChanges) throws(CommandError) {
        for change in changes.changes {
            let file = workspace.root.appendingPathComponent(change.path)
            if change.before == nil, FileManager.default.fileExists(atPath: file.path) {
                throw .usage(
                    say(
                        "\(change.path) is there already, and nothing is overwritten: choose another name, or move it away.",
                        "\(change.path) 已经存在，不会覆盖：请换一个名字，或者先把它移走。"))
            }
            if let before = change.before, content(of: file) != before { throw changed(change.path) }
        }
    }

    private func changed(_ path: String) -> CommandError {
        .failure(
            say(
                "\(path) was changed by somebody else meanwhile: undo that, or remove the folder "
                    + "\(workspace.relative(folder)), and try again.",
                "\(path) 同时被别人改动了：请撤销那处改动，或者删除目录 \(workspace.relative(folder))，再试一次。"))
    }

    private func damaged() -> CommandError {
        .failure(
            say(
                "\(workspace.relative(folder)), where an interrupted `lab new` kept its files, is damaged: remove it.",
                "\(workspace.relative(folder)) 里是上次中断的 `lab new` 留下的文件，已经损坏：请删除它。"))
    }

    private func cannotWrite(_ path: String, _ reason: String) -> CommandError {
        .failure(say("\(path) cannot be written: \(reason).", "写不了 \(path)：\(reason)。"))
    }

    /// Held by one `lab new` at a time, and let go by the kernel however it ends (flock(2)).
    func lock() throws(CommandError) -> Int32 {
        let file = workspace.state.appendingPathComponent("new.lock")
        do {
            try FileManager.default.createDirectory(at: workspace.state, withIntermediateDirectories: true)
        } catch { throw cannotWrite(workspace.relative(workspace.state), reason(error)) }
        let descriptor = open(file.path, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            let code = errno
            throw cannotWrite(workspace.relative(file), errorText(code))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw .failure(say("Another `lab new` is under way: wait for it.", "另一个 `lab new` 正在运行：请等它结束。"))
        }
        return descriptor
    }

    private func content(of file: URL) -> String? {
        (try? Data(contentsOf: file)).map { String(decoding: $0, as: UTF8.self) }
    }
    private func prepared(_ index: Int) -> URL { folder.appendingPathComponent("\(index)") }
    private func discard() { try? FileManager.default.removeItem(at: folder) }

    private func journalData(_ changes: FileChanges) throws(CommandError) -> Data {
        do { return try JSONEncoder().encode(changes) } catch { throw .failure("\(error)") }
    }
}
