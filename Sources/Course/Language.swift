import Sockets

/// The languages that the lab speaks. Everything that a student reads exists in both.
public enum Language: String, CaseIterable, Codable, Sendable {
    case english = "en"
    case chinese = "zh-Hans"

    /// `zh`, `zh_CN.UTF-8`, `zh-Hans` mean Chinese; anything else English.
    public init(tag: String) { self = tag.lowercased().hasPrefix("zh") ? .chinese : .english }

    /// What `LAB_LANG`, or else the locale (`LC_ALL`, `LC_MESSAGES`, `LANG`: locale(7)), asks for. `lab --lang` sets it.
    nonisolated(unsafe) public static var current: Language = {
        for name in ["LAB_LANG", "LC_ALL", "LC_MESSAGES", "LANG"] {
            if let value = getenv(name), value.pointee != 0 { return Language(tag: String(cString: value)) }
        }
        return .english
    }()
}

/// The sentence in the language of the reader. Both stand side by side in the source, so neither is forgotten.
public func say(_ english: @autoclosure () -> String, _ chinese: @autoclosure () -> String) -> String {
    Language.current == .chinese ? chinese() : english()
}

/// A text in both languages, as the catalogue holds it: `{"en": "…", "zh-Hans": "…"}`.
public struct Text: Codable, Equatable, Sendable, CustomStringConvertible {
    public var en: String
    public var zh: String

    enum CodingKeys: String, CodingKey {
        case en
        case zh = "zh-Hans"
    }

    public init(en: String, zh: String) {
        self.en = en
        self.zh = zh
    }

    public subscript(_ language: Language) -> String { language == .chinese ? zh : en }
    public var description: String { self[Language.current] }
}
