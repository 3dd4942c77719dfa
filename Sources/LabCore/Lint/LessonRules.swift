// Rules on files: a lesson that is in one place is in all of them, an exercise has its solution, and nothing lies
// about.
import Course

extension Lint {
    /// A slug, and where it stands in the list in Package.swift.
    var listedLessons: [(slug: String, line: Int)] {
        let lines = files.lines("Package.swift")
        guard let start = lines.firstIndex(where: { $0.hasPrefix("let lessons = [") }) else { return [] }
        let end = lines[start...].firstIndex { $0.hasPrefix("]") } ?? start
        return lines[start..<end].enumerated().compactMap { offset, line in
            line.firstMatch(of: /^\s*"([^"]+)"/).map { (String($0.1), start + offset + 1) }
        }
    }

    func registration() -> [Defect] {
        let listed = listedLessons
        let folders = ["Lessons", "Exercises", "Solutions"].map { ($0, files.names(in: $0).filter(isLessonSlug)) }
        let slugs = Set(listed.map(\.slug) + folders.flatMap(\.1)).sorted()
        var found: [Defect] = []
        func missing(_ slug: String, _ file: String, _ problem: String, _ remedy: String) {
            found.append(Defect("registration", file, "\(slug): \(problem)", do: remedy))
        }
        if listed.map(\.slug) != listed.map(\.slug).sorted() {
            found.append(
                Defect(
                    "registration", "Package.swift", line: listed.first?.line,
                    say("the lessons are not in order", "课程没有按顺序排列"), do: say("sort the list", "请排好顺序")))
        }
        for (number, same) in Dictionary(grouping: slugs, by: { $0.prefix(2) }) where same.count > 1 {
            found.append(
                Defect(
                    "registration", "Package.swift",
                    say(
                        "two lessons have the number \(number): \(same.joined(separator: ", "))",
                        "有两课的编号都是 \(number)：\(same.joined(separator: "、"))"),
                    do: say("give one of them another number, in all its places", "请给其中一课换一个编号，所有地方都要改")))
        }
        for slug in slugs {
            let number = String(slug.prefix(2))
            if !listed.contains(where: { $0.slug == slug }) {
                missing(
                    slug, "Package.swift", say("it is not in the list of lessons", "不在课程列表中"),
                    say("add \"\(slug)\"", "请加上 \"\(slug)\""))
            }
            for file in expectedFiles(of: slug) where !files.has(file) {
                missing(slug, file, say("this file is missing", "缺少这个文件"), say("add it", "请添加"))
            }
            for (file, part, what) in mentions(of: number, slug) where files.line(of: part, in: file) == nil {
                missing(slug, file, what, say("add \(part)", "请加上 \(part)"))
            }
            if grader(of: slug) == nil, files.line(of: "lesson\(number)", in: "Sources/Graders/AllGraders.swift") != nil
            {
                missing(
                    slug, "Sources/Graders/AllGraders.swift",
                    say("this lab was built before its grader was there", "本程序构建之后才加入它的评测代码"),
                    say("run `swift build`", "请运行 `swift build`"))
            }
        }
        return found
    }

    func isLessonSlug(_ name: String) -> Bool {
        name.count > 3 && name.prefix(2).allSatisfy(\.isNumber) && Slug.isValid(String(name.dropFirst(3)))
            && name.dropFirst(2).first == "-"
    }

    private func expectedFiles(of slug: String) -> [String] {
        let number = slug.prefix(2)
        return [
            "Lessons/\(slug)/lesson.json", "Lessons/\(slug)/README.md", "Lessons/\(slug)/README.zh-Hans.md",
            "Exercises/\(slug)/main.swift", "Solutions/\(slug)/Reference.swift", "Sources/Course/Lesson\(number).swift",
            "Sources/Graders/Lesson\(number).swift", "Tests/Graders/Lesson\(number).swift",
        ]
    }

    private func mentions(of number: String, _ slug: String) -> [(file: String, part: String, problem: String)] {
        [
            (
                "Sources/Graders/AllGraders.swift", "lesson\(number)",
                say("its grader is not in the list", "它的评测代码不在列表中")
            ),
            (
                "Sources/lab/References.swift", "Solution\(number).reference",
                say("its solution is not in the list", "它的参考答案不在列表中")
            ),
            ("README.md", row(slug, isChinese: false), say("the table of lessons has no such row", "课程表中没有这一行")),
            ("README.zh-Hans.md", row(slug, isChinese: true), say("the table of lessons has no such row", "课程表中没有这一行")),
        ]
    }

    /// In the README: the lesson's text and its title, as lesson.json has it.
    private func row(_ slug: String, isChinese: Bool) -> String {
        let title = lessons.first { $0.slug == slug }?.json["title"]?[isChinese ? "zh-Hans" : "en"]?.string
        let text = "| [\(slug.prefix(2))](Lessons/\(slug)/README\(isChinese ? ".zh-Hans" : "").md) |"
        return title.map { "\(text) \($0) |" } ?? text
    }

    /// The files of lesson.json are there, and the solution has the same ones.
    func twinFiles() -> [Defect] {
        lessons.flatMap { lesson -> [Defect] in
            var found: [Defect] = []
            for exercise in lesson.exercises where !exercise.file.isEmpty {
                for folder in ["Exercises", "Solutions"] where !files.has("\(folder)/\(lesson.slug)/\(exercise.file)") {
                    let twin = folder == "Exercises" ? "Solutions" : "Exercises"
                    found.append(
                        Defect(
                            "twins", "\(folder)/\(lesson.slug)/\(exercise.file)",
                            say(
                                "exercise \(lesson.number) \(exercise.id): this file is missing",
                                "练习 \(lesson.number) \(exercise.id)：缺少这个文件"),
                            do: say(
                                "write it under the same name as in \(twin)/\(lesson.slug)",
                                "请用与 \(twin)/\(lesson.slug) 中相同的名字写出它")))
                }
            }
            return found
        }
    }

    /// Files that nothing refers to.
    func strayFiles() -> [Defect] {
        var stray: [String] = []
        for path in files.paths where isLeftover(path) { stray.append(path) }
        for folder in ["Lessons", "Exercises", "Solutions"] {
            stray += files.names(in: folder).filter { !isLessonSlug($0) }.map { "\(folder)/\($0)" }
        }
        for lesson in lessons {
            let exercises = Set(lesson.exercises.map(\.file))
            let ownExercises = exercises.union(["main.swift"])
            stray += files.under("Exercises/\(lesson.slug)").filter { !ownExercises.contains(name($0, lesson.slug)) }
            let solutions = exercises.union(["Reference.swift"])
            stray += files.under("Solutions/\(lesson.slug)").filter {
                !solutions.contains(name($0, lesson.slug)) && !isUsedBeside($0)
            }
            stray += strayLessonFiles(lesson)
        }
        for folder in ["Sources/Course", "Sources/Graders", "Tests/Graders"] {
            for name in files.names(in: folder) {
                guard let match = name.firstMatch(of: /^Lesson(\d\d)/),
                    !listedLessons.contains(where: { $0.slug.hasPrefix(match.1 + "-") })
                else { continue }
                stray.append("\(folder)/\(name)")
            }
        }
        let allowed = ["Lessons/common.json", "Lessons/causes.json"]
        return Set(stray).subtracting(allowed).sorted().map { path in
            Defect(
                "stray", path, say("nothing refers to this file", "没有任何地方用到这个文件"),
                do: say("name it where it belongs, or remove it", "请在该提到它的地方提到它，或者删除"))
        }
    }

    private func name(_ path: String, _ slug: String) -> String {
        path.split(separator: "/").dropFirst(2).joined(separator: "/")
    }

    /// What editors, patches and interrupted programs leave behind.
    private func isLeftover(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        let endings = ["~", ".orig", ".rej", ".bak", ".swp", ".swo", ".tmp", ".temporary"]
        return endings.contains { name.hasSuffix($0) } || name.hasPrefix(".#")
            || name.hasPrefix("#") && name.hasSuffix("#") || !path.contains("/") && !isKnownAtRoot(path)
    }

    private func isKnownAtRoot(_ name: String) -> Bool {
        ["Package.swift", "LICENSE"].contains(name) || name.hasPrefix(".") || name.hasSuffix(".md")
    }

    /// A file of several solutions' common code: something that it declares is used by its neighbours.
    private func isUsedBeside(_ path: String) -> Bool {
        guard path.hasSuffix(".swift") else { return false }
        let folder = path.split(separator: "/").dropLast().joined(separator: "/")
        let neighbours = files.under(folder).filter { $0 != path }.map { files.text($0) }
        let declared = files.text(path).matches(
            of: /\b(?:func|struct|class|enum|let|var|extension|protocol|actor) (\w+)/)
        return declared.contains { match in neighbours.contains { $0.contains(match.1) } }
    }

    /// Pictures and the like are linked from the lesson's text.
    private func strayLessonFiles(_ lesson: DescribedLesson) -> [String] {
        let texts = ["README.md", "README.zh-Hans.md"].map { lesson.folder + "/" + $0 }
        let linked = texts.flatMap { files.outline($0).links.map { "\(lesson.folder)/\($0.target)" } }
        let own = Set(texts + linked + [lesson.file])
        return files.under(lesson.folder).filter { !own.contains($0) }
    }
}
