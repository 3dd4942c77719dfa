// The same compiler and linker calls that `swift build` makes for one lesson, without the half second that SwiftPM takes to
// find out which they are. Only where nothing but the student's files changed since SwiftPM built the lesson; in every
// other case, or any doubt, there is no quick build and SwiftPM decides.
//
// SwiftPM writes its plan into .build/debug.yaml (an llbuild manifest): one command compiles a module, one links it.
import Course
import Foundation
import Sockets

struct QuickBuild {
    let workspace: Workspace
    let lesson: Catalogue.Lesson

    /// What the last build by SwiftPM was made from, other than the lesson's own files.
    private var stamp: URL { workspace.state.appendingPathComponent("builds/Lesson\(lesson.number)") }

    /// Call it before `swift build` begins, and `remember` what it returned when that has succeeded.
    func fingerprint() -> String { "\(sourcesFingerprint())" }

    func remember(_ fingerprint: String) {
        // Without it the next build takes a little longer; that is all.
        try? writeAtomically(Data(fingerprint.utf8), to: stamp)
    }

    func forget() { unlink(stamp.path) }

    /// - Returns: what the compiler said; nil if SwiftPM has to do it.
    func run(stop: Stop?) throws(CommandError) -> Subprocess.Result? {
        guard let known = try? String(contentsOf: stamp, encoding: .utf8), known == fingerprint(),
            let plan = Plan(workspace, lesson)
        else { return nil }
        // SwiftPM's own lock: two builds must not write the same files.
        let lock = open(workspace.root.appendingPathComponent(".build/.lock").path, O_RDWR | O_CLOEXEC)
        guard lock >= 0 else { return nil }
        defer { close(lock) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else { return nil }

        let compiled = try call(plan.compile, stop)
        guard compiled.succeeded else { return Diagnostic.parse(compiled.output).isEmpty ? nil : compiled }
        let linked = try call(plan.link, stop)
        return linked.succeeded ? linked : nil
    }

    private func call(_ command: [String], _ stop: Stop?) throws(CommandError) -> Subprocess.Result {
        try Subprocess.run(
            command[0], Array(command.dropFirst()), mergesErrors: true, folder: workspace.root,
            environment: Build.environment(), stop: stop)
    }

    /// Names, sizes and times of all that goes into a lesson but its own files: FNV-1a, the same on every run.
    private func sourcesFingerprint() -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ path: String) {
            var status = stat()
            guard stat(path, &status) == 0 else { return }
            let text = "\(path) \(status.st_size) \(modificationTime(status))"
            for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        add(workspace.root.appendingPathComponent("Package.swift").path)
        if let compiler = which("swiftc") { add(compiler) }
        let sources = workspace.root.appendingPathComponent("Sources").resolvingSymlinksInPath().path
        let names = FileManager.default.enumerator(atPath: sources)?.compactMap { $0 as? String } ?? []
        for name in names.sorted() where [".swift", ".c", ".h"].contains(where: name.hasSuffix) {
            add("\(sources)/\(name)")
        }
        return hash
    }

    /// Nil if SwiftPM has not planned this lesson, or other files of it.
    var plan: Plan? { Plan(workspace, lesson) }

    /// The two commands, as SwiftPM wrote them down.
    struct Plan {
        var compile: [String]
        var link: [String]

        init?(_ workspace: Workspace, _ lesson: Catalogue.Lesson) {
            let file = workspace.root.appendingPathComponent(".build/debug.yaml")
            guard let text = try? String(contentsOf: file, encoding: .utf8) else { return nil }
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            let name = "  \"C.Lesson\(lesson.number)-"
            guard let module = Plan.command(lines, name, ".module\":"), let link = Plan.command(lines, name, ".exe\":"),
                let inputs = module["inputs"], let compile = module["args"], let linkArguments = link["args"]
            else { return nil }
            // A file that was added or removed since is not in the plan.
            let folder = workspace.exercises(lesson).path
            let planned = Set(inputs.filter { $0.hasPrefix(folder + "/") })
            let names = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
            let present = Set(names.filter { $0.hasSuffix(".swift") }.map { "\(folder)/\($0)" })
            guard planned == present, compile.count > 1, linkArguments.count > 1 else { return nil }
            // Messages for people, as `swift build` shows them, not for SwiftPM.
            self.compile = compile.filter { $0 != "-parseable-output" }
            self.link = linkArguments
        }

        /// The fields of one command: `    args: ["…","…"]`, whose lists are JSON.
        private static func command(_ lines: [Substring], _ start: String, _ end: String) -> [String: [String]]? {
            guard let first = lines.firstIndex(where: { $0.hasPrefix(start) && $0.hasSuffix(end) }) else { return nil }
            var fields: [String: [String]] = [:]
            for line in lines[(first + 1)...].prefix(while: { $0.hasPrefix("    ") }) {
                let parts = line.dropFirst(4).split(separator: ":", maxSplits: 1)
                guard parts.count == 2, parts[1].hasPrefix(" [") else { continue }
                fields[String(parts[0])] = try? JSONDecoder().decode([String].self, from: Data(parts[1].utf8))
            }
            return fields
        }
    }
}
