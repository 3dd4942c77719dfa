// Programs made of a lesson's reference with some files replaced: one compile and one link each, against modules that the
// package's own build has made. For the bank of mistakes and for mutants.
import Course
import Foundation

/// Builds programs of one lesson, as many at a time as are asked for.
struct ProgramBuilder: Sendable {
    let workspace: Workspace
    let lesson: Catalogue.Lesson
    /// Where programs are put: a folder each.
    let folder: URL
    /// What a program's own files are put in place of.
    let reference: [String: Data]
    private let compile: [String]
    private let link: [String]
    private let objects: [String]
    private let fingerprint: String

    /// What came of a build.
    enum Outcome: Sendable {
        case built(program: String)
        case broken(String)
    }

    /// Builds the modules first, if something changed: `swift build --product Lesson04`.
    ///
    /// - Parameter folder: where programs are put.
    init(_ workspace: Workspace, _ lesson: Catalogue.Lesson, in folder: URL) throws(CommandError) {
        self.workspace = workspace
        self.lesson = lesson
        self.folder = folder
        // That the student's own files do not compile is no obstacle: the modules below them are there then, too.
        _ = try Build(workspace).lesson(lesson)
        guard let plan = QuickBuild(workspace: workspace, lesson: lesson).plan,
            let list = plan.link.first(where: { $0.hasPrefix("@") }),
            let names = try? String(contentsOfFile: String(list.dropFirst()), encoding: .utf8)
        else {
            throw .failure(
                say(
                    "SwiftPM's plan of Lesson\(lesson.number) is not as expected: .build/debug.yaml.",
                    "SwiftPM 的 Lesson\(lesson.number) 构建计划与预期不同：.build/debug.yaml。"))
        }
        link = plan.link
        let others = names.split(separator: "\n").map(String.init).filter {
            !$0.contains("/Lesson\(lesson.number).build/")
        }
        let kept = try ProgramBuilder.keep(others, modules: plan.compile, in: folder)
        objects = kept.objects
        compile = ProgramBuilder.flags(plan.compile).map { $0 == kept.modules.before ? kept.modules.after : $0 }
        fingerprint = QuickBuild(workspace: workspace, lesson: lesson).fingerprint()
        reference = try ProgramBuilder.reference(workspace, lesson)
    }

    /// Copies of what SwiftPM has built, so that a build that somebody starts meanwhile does not change it under us.
    private static func keep(
        _ objects: [String], modules command: [String], in folder: URL
    ) throws(CommandError) -> (objects: [String], modules: (before: String, after: String)) {
        let files = FileManager.default
        let base = folder.appendingPathComponent(".base")
        let modules = base.appendingPathComponent("modules")
        let search = command.first { $0.hasSuffix("/Modules") } ?? ""
        do {
            if files.fileExists(atPath: base.path) { try files.removeItem(at: base) }
            try files.createDirectory(at: modules, withIntermediateDirectories: true)
            // References, too: some lesson builds on those of earlier ones.
            let references = try files.contentsOfDirectory(atPath: search).filter { $0.hasPrefix("Solution") }
                .map { String($0.prefix { $0 != "." }) }
            for name in Set(["Course", "CSockets", "LessonHost", "SocketConstants", "Sockets"] + references) {
                let module = "\(search)/\(name).swiftmodule"
                guard files.fileExists(atPath: module) else { continue }
                try files.copyItem(atPath: module, toPath: modules.appendingPathComponent("\(name).swiftmodule").path)
            }
            var copies: [String] = []
            for (index, object) in objects.enumerated() {
                let copy = base.appendingPathComponent("\(index).o").path
                try files.copyItem(atPath: object, toPath: copy)
                copies.append(copy)
            }
            return (copies, (search, modules.path))
        } catch { throw .failure("\(base.path): \(reason(error))") }
    }

    /// One invocation for all files, without what SwiftPM keeps for its next build.
    private static func flags(_ command: [String]) -> [String] {
        let lone: Set = [
            "-emit-dependencies", "-emit-module", "-incremental", "-c", "-enable-batch-mode", "-serialize-diagnostics",
            "-parseable-output",
        ]
        let valued: Set = ["-emit-module-path", "-output-file-map", "-index-store-path"]
        var flags: [String] = []
        var skips = false
        for word in command {
            if skips {
                skips = false
            } else if valued.contains(word) {
                skips = true
            } else if !lone.contains(word), !word.hasPrefix("@"), !word.hasPrefix("-j") {
                flags.append(word)
            }
        }
        return flags
    }

    /// The reference's files as a student would have them, and the file that hands them to the lab.
    static func reference(
        _ workspace: Workspace, _ lesson: Catalogue.Lesson
    ) throws(CommandError) -> [String: Data] {
        let folder = workspace.root.appendingPathComponent("Solutions/\(lesson.slug)")
        let main = workspace.exercises(lesson).appendingPathComponent("main.swift")
        do {
            var files = ["main.swift": try Data(contentsOf: main)]
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path)
            where name.hasSuffix(".swift") && name != "Reference.swift" {
                files[name] = try Data(contentsOf: folder.appendingPathComponent(name))
            }
            return files
        } catch { throw .failure("\(folder.path): \(reason(error))") }
    }

    /// A package of one program, as far as a report needs it: its files under `Exercises`, and the lessons.
    func place(of name: String) -> Workspace { Workspace(root: folder.appendingPathComponent(name)) }

    /// - Parameter files: in place of the reference's of that name, or beside them.
    func build(_ name: String, files: [String: Data]) throws(CommandError) -> Outcome {
        let place = place(of: name)
        let sources = place.exercises(lesson)
        let all = reference.merging(files) { _, own in own }
        let program = place.root.appendingPathComponent("Lesson\(lesson.number)")
        let stamp = place.root.appendingPathComponent("built-from")
        let key = digest(all)
        if (try? String(contentsOf: stamp, encoding: .utf8)) == key,
            FileManager.default.isExecutableFile(atPath: program.path)
        {
            return .built(program: program.path)
        }
        do {
            if FileManager.default.fileExists(atPath: place.root.path) {
                try FileManager.default.removeItem(at: place.root)
            }
            try FileManager.default.createDirectory(at: sources, withIntermediateDirectories: true)
            for (file, text) in all { try text.write(to: sources.appendingPathComponent(file)) }
            try FileManager.default.createSymbolicLink(
                at: place.root.appendingPathComponent("Lessons"),
                withDestinationURL: workspace.root.appendingPathComponent("Lessons"))
        } catch { throw .failure("\(place.root.path): \(reason(error))") }
        let object = place.root.appendingPathComponent("program.o")
        let paths = all.keys.sorted().map { sources.appendingPathComponent($0).path }
        let compiled = try run(
            compile + ["-whole-module-optimization", "-suppress-warnings", "-c", "-o", object.path] + paths)
        guard compiled.succeeded else { return try broken(name, compiled) }
        let list = place.root.appendingPathComponent("objects")
        try writeAtomically(Data((objects + [object.path]).joined(separator: "\n").utf8), to: list)
        var words: [String] = []
        var isOutput = false
        for word in link {
            words.append(isOutput ? program.path : word.hasPrefix("@") ? "@\(list.path)" : word)
            isOutput = word == "-o"
        }
        var linked = try run(words)
        // On a machine under heavy load the driver was seen to link without the libraries that the objects ask for
        // (swift-autolink-extract(1) came back with nothing). What does not link is tried a second time.
        if !linked.succeeded { linked = try run(words) }
        guard linked.succeeded else { return try broken(name, linked) }
        unlink(object.path)
        try writeAtomically(Data(key.utf8), to: stamp)
        return .built(program: program.path)
    }

    /// A compiler that a signal ended, Ctrl-C above all, says nothing of the program.
    private func broken(_ name: String, _ result: Subprocess.Result) throws(CommandError) -> Outcome {
        guard result.status < 128 else {
            throw .failure(
                say(
                    "Building \(name): the compiler was ended by signal \(result.status - 128).",
                    "编译 \(name)：编译器被信号 \(result.status - 128) 终止。"))
        }
        return .broken(result.output)
    }

    /// It will not be needed again.
    func remove(_ name: String) { try? FileManager.default.removeItem(at: place(of: name).root) }

    private func run(_ words: [String]) throws(CommandError) -> Subprocess.Result {
        try Subprocess.run(
            words[0], Array(words.dropFirst()), mergesErrors: true, folder: workspace.root,
            environment: Build.environment())
    }

    /// Of everything that a program is made from: FNV-1a.
    private func digest(_ files: [String: Data]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ bytes: some Sequence<UInt8>) {
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        }
        add(fingerprint.utf8)
        for (name, text) in files.sorted(by: { $0.key < $1.key }) {
            add(name.utf8)
            add(text)
        }
        return "\(hash)"
    }
}
