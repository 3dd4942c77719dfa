/// Names of lessons, exercises and checks: `04-tcp`, `two-clients`. They become file names, arguments and anchors, so
/// they are lower-case letters and digits in words that single dashes join.
public enum Slug {
    public static func isValid(_ text: String) -> Bool { text.wholeMatch(of: /[a-z][a-z0-9]*(-[a-z0-9]+)*/) != nil }

    /// `uppercase-server` is `uppercaseServer` in code.
    public static func identifier(_ slug: String) -> String {
        let words = slug.split(separator: "-")
        return words.prefix(1).joined() + words.dropFirst().map { capitalized($0) }.joined()
    }

    /// `uppercase-server` is `UppercaseServer.swift`'s name.
    public static func typeName(_ slug: String) -> String {
        slug.split(separator: "-").map { capitalized($0) }.joined()
    }

    /// `Uppercase server`
    public static func title(_ slug: String) -> String { capitalized(slug[...]).replacing("-", with: " ") }

    private static func capitalized(_ word: Substring) -> String { word.prefix(1).uppercased() + word.dropFirst() }
}
