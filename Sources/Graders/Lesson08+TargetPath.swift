// Lesson 08: path-names. A target goes in, names come out, or nothing.
import Course
import GraderKit

let pathNamesChecks: [Check] = [
    Check("path-plain") { trial in
        try trial.expectNames("/", [])
        try trial.expectNames("/index.html", ["index.html"])
        try trial.expectNames("/a/b/c.txt", ["a", "b", "c.txt"])
        try trial.expectNames("/docs/", ["docs"])
        try trial.expectNames("//a/./b/.", ["a", "b"])
        // Names that only look dangerous.
        try trial.expectNames("/.../..a/b../.hidden/~/a:b", ["...", "..a", "b..", ".hidden", "~", "a:b"])
    },
    Check("path-query") { trial in
        try trial.expectNames("/a?b=1", ["a"], "query-in-name")
        try trial.expectNames("/a?b=/../c?d", ["a"], "query-in-name")
        try trial.expectNames("/?x", [], "query-in-name")
        // A question mark that was encoded belongs to the name.
        try trial.expectNames("/what%3F?x", ["what?"], "query-in-name")
    },
    Check("path-percent") { trial in
        try trial.expectNames("/a%20b", ["a b"], "not-decoded")
        try trial.expectNames("/a+b", ["a+b"], "plus-as-space")
        try trial.expectNames("/caf%C3%A9/%e7%b2%98", ["café", "粘"], "not-decoded")
        try trial.expectNames("/%41%7a%2e%68%74%6d%6c", ["Az.html"], "not-decoded")
        try trial.expectNames("/100%25", ["100%"], "not-decoded")
        try trial.expectNames("/%252e%252e/a", ["%2e%2e", "a"], "decoded-twice")
        try trial.expectNames("/%2541", ["%41"], "decoded-twice")
    },
    Check("path-absolute") { trial in
        try trial.expectNames("http://localhost/a/b", ["a", "b"], "absolute-form")
        try trial.expectNames("http://127.0.0.1:8000/a%20b?q", ["a b"], "absolute-form")
        try trial.expectNames("http://[::1]:8000/a", ["a"], "absolute-form")
        try trial.expectNames("HTTP://example.org", [], "absolute-form")
        try trial.expectNames("http://example.org?a=/b", [], "absolute-form")
        try trial.expectNames("http://example.org/../a", nil, "leaves-the-root")
    },
    Check("path-leaving") { trial in
        for target in [
            "/..", "/../secret.txt", "/a/../../secret.txt", "/a/..", "/%2e%2e/secret.txt", "/.%2E/secret.txt",
            "/%2E./secret.txt", "/a/%2e%2e/%2e%2e/secret.txt", "/..%2fsecret.txt", "/%2e%2e%2fsecret.txt",
            "/a%2F..%2F..%2Fsecret.txt", "/..%5csecret.txt", "/..\\secret.txt", "/%2Fetc%2Fpasswd",
        ] {
            try trial.expectNames(target, nil, "leaves-the-root")
        }
        // A slash and a combining accent: one Character in Swift, and not "/".
        try trial.expectNames("/a%2F%CC%81b", nil, "slash-in-character")
    },
    Check("path-refused") { trial in
        for target in ["/a%00.html", "/%00", "/a%00b/c"] { try trial.expectNames(target, nil, "zero-byte") }
        for target in ["/%", "/a%2", "/%zz", "/%4", "/a%%20", "/%+1", "/% 1", "/%-1"] {
            try trial.expectNames(target, nil, "percent-unchecked")
        }
        for target in ["/%ff", "/%c3", "/a%c3%28", "/%c0%ae%c0%ae/secret.txt", "/%ed%a0%80"] {
            try trial.expectNames(target, nil, "repaired-text")
        }
        for target in ["*", "", "a/b", "localhost:80", "https://a/b", "file:///etc/passwd"] {
            try trial.expectNames(target, nil, "target-unchecked")
        }
    },
]

extension Trial {
    fileprivate func expectNames(_ target: String, _ names: [String]?, _ mistake: String? = nil) throws {
        let right = names.map { Value.list($0.map { .string($0) }) } ?? .none
        let got = try call("path-names", .string(target))
        guard got != right else { return }
        var cause = mistake
        if case .list(let values) = got, right != .none {
            let isWithQuery = values.contains { if case .string(let name) = $0 { name.contains("?") } else { false } }
            if isWithQuery, !right.text.contains("?") { cause = "query-in-name" }
            if values.contains(.string("")) || values.contains(.string(".")) { cause = "empty-names" }
        } else if names != nil, got == .none, mistake != "decoded-twice" {
            // Of "%25" decoded twice a bare "%" is left.
            let isTwice = try target.contains("%25") && call("path-names", .string("/%2541")) == .list([.string("A")])
            cause = isTwice ? "decoded-twice" : "good-target-refused"
        }
        throw Failure(
            expected: say("the names in ", "请求目标 ") + "\"\(target)\"" + say(": ", " 里的名字：")
                + (right == .none ? say("nil", "nil") : right.text),
            got: got == .none ? "nil" : got.text, cause: cause)
    }
}
