// Names that the function of a new exercise must not have: Swift's words, the C library's functions, and what is
// declared where the function will be.
import Course
import Foundation
import Sockets

struct ReservedNames {
    private let files: ProjectFiles
    private let slug: String

    init(_ files: ProjectFiles, slug: String) {
        self.files = files
        self.slug = slug
    }

    /// Who has the name; nil if it is free.
    func owner(of template: ExerciseTemplate) -> String? {
        let name = template.name
        if words.contains(name) { return say("that is a word of Swift", "它是 Swift 的关键字") }
        if ["main", "reference", "entries", "slug"].contains(name) {
            return say("the lab needs that name itself", "实验环境自己要用这个名字")
        }
        // A function `close` in the lesson would hide close(2) from all of its files.
        if name.withCString({ dlsym(nil, $0) }) != nil {
            return say("the C library has a function of that name", "C 库里已有同名函数")
        }
        let folders = ["Exercises/\(slug)", "Solutions/\(slug)", "Sources/Course", "Sources/Sockets"]
        for file in folders.flatMap({ files.under($0) }) where file.hasSuffix(".swift") {
            for (index, line) in files.lines(file).enumerated() {
                guard let match = line.firstMatch(of: /^(?:public |internal )?(?:func|let|var) (\w+)/),
                    match.1 == name
                else { continue }
                return say("\(file):\(index + 1) declares it", "\(file):\(index + 1) 已经声明了它")
            }
        }
        return nil
    }

    private let words: Set<String> = [
        "associatedtype", "class", "deinit", "enum", "extension", "fileprivate", "func", "import", "init", "inout",
        "internal", "let", "open", "operator", "private", "precedencegroup", "protocol", "public", "rethrows", "static",
        "struct", "subscript", "typealias", "var", "break", "case", "catch", "continue", "default", "defer", "do",
        "else",
        "fallthrough", "for", "guard", "if", "in", "repeat", "return", "throw", "switch", "where", "while", "any", "as",
        "await", "false", "is", "nil", "self", "super", "throws", "true", "try", "async", "actor", "some", "print",
    ]
}
