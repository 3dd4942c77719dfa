// The words of a command line, sorted into options and the rest. Knows no command.
import Course

/// An option of a command.
public struct OptionSpecification: Sendable {
    /// With its dashes: `--seed`.
    public var name: String
    /// A second spelling: `-h`.
    public var short: String?
    /// What its value is called in the help; nil if it takes none.
    public var value: String?
    public var summary: Text

    public init(_ name: String, short: String? = nil, value: String? = nil, _ english: String, _ chinese: String) {
        self.name = name
        self.short = short
        self.value = value
        self.summary = Text(en: english, zh: chinese)
    }
}

/// What was found on a command line.
public struct Arguments: Equatable, Sendable {
    /// In order, without the options.
    public var words: [String] = []
    /// By name; the value is empty for an option that takes none.
    public var options: [String: String] = [:]

    public init() {}

    public func has(_ option: String) -> Bool { options[option] != nil }

    /// - Parameter lenient: an unknown option is kept among the words instead.
    public static func parse(
        _ line: [String], options known: [OptionSpecification], lenient: Bool = false
    ) throws(CommandError) -> Arguments {
        var found = Arguments()
        var rest = line[...]
        while let word = rest.popFirst() {
            if word == "--" {
                found.words += lenient ? ["--"] + rest : Array(rest)
                break
            }
            guard word.hasPrefix("-"), word != "-" else {
                found.words.append(word)
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let option = known.first(where: { $0.name == parts[0] || $0.short == parts[0] }) else {
                if lenient {
                    found.words.append(word)
                    continue
                }
                throw unknown(parts[0], known)
            }
            found.options[option.name] = try value(of: option, attached: parts.count == 2 ? parts[1] : nil, &rest)
        }
        return found
    }

    private static func value(
        of option: OptionSpecification, attached: String?, _ rest: inout ArraySlice<String>
    ) throws(CommandError) -> String {
        guard let name = option.value else {
            guard attached == nil else {
                throw .usage(say("\(option.name) takes no value.", "\(option.name) 后面不带值。"))
            }
            return ""
        }
        if let attached { return attached }
        guard let next = rest.first, !next.hasPrefix("--") else {
            throw .usage(
                say(
                    "\(option.name) needs a value: \(option.name) \(name).",
                    "\(option.name) 需要一个值：\(option.name) \(name)。"))
        }
        rest = rest.dropFirst()
        return next
    }

    private static func unknown(_ word: String, _ known: [OptionSpecification]) -> CommandError {
        let names = known.map(\.name)
        let hint = nearest(to: word, among: names).map { say(" Did you mean \($0)?", "是不是想用 \($0)？") } ?? ""
        return .usage(say("There is no option \(word).", "没有 \(word) 这个选项。") + hint)
    }
}
