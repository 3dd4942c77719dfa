// Lesson 16: forwarded. Fields in, the client out; no sockets.
import Course
import GraderKit
import Wire

let forwardedChecks: [Check] = [
    Check("forwarded-stranger") { trial in
        let lies = [
            HTTPField("X-Forwarded-For", "203.0.113.7"), HTTPField("X-Forwarded-Proto", "https"),
            HTTPField("Forwarded", "for=203.0.113.7;proto=https"),
        ]
        for header in [ProxyTrust.Header.xForwarded, .forwarded] {
            try trial.expectClient(
                "198.51.100.9", "http", peer: "198.51.100.9", lies, header: header, cause: "believed-a-stranger")
            try trial.expectClient(
                "2001:db8::9", "http", peer: "2001:db8::9", lies, header: header, cause: "believed-a-stranger")
        }
        // Nobody at all is trusted.
        try trial.expectClient("127.0.0.1", "http", lies, proxies: [], cause: "believed-a-stranger")
    },
    Check("forwarded-one-proxy") { trial in
        try trial.expectClient("203.0.113.7", "http", [.for("203.0.113.7")], cause: "peer-is-the-proxy")
        try trial.expectClient("127.0.0.1", "http", [])
        // Names of fields have no case, and other fields say nothing.
        try trial.expectClient(
            "2001:db8::1", "http",
            [HTTPField("Host", "a"), HTTPField("x-forwarded-for", "2001:db8::1"), HTTPField("X-Real-IP", "10.9.9.9")],
            cause: "field-name-case")
    },
    Check("forwarded-forged") { trial in
        // The client wrote the first two itself; the proxy has added whom it heard from.
        try trial.expectClient(
            "203.0.113.7", "http", [.for("10.0.0.1, 127.0.0.1, 203.0.113.7")], cause: "took-the-leftmost")
        try trial.expectClient("203.0.113.7", "http", [.for("1.2.3.4,203.0.113.7")], cause: "took-the-leftmost")
        // Two fields are one list, in their order.
        try trial.expectClient(
            "203.0.113.7", "http", [.for("1.2.3.4"), .for("5.6.7.8, 203.0.113.7")], cause: "one-field-of-several")
        try trial.expectClient(
            "203.0.113.7", "http", [.for("5.6.7.8, 203.0.113.9"), .for("203.0.113.7")], cause: "one-field-of-several")
    },
    Check("forwarded-chain") { trial in
        let proxies = ["127.0.0.1", "10.0.0.2", "10.0.0.3"]
        try trial.expectClient(
            "203.0.113.7", "http", [.for("203.0.113.7, 10.0.0.2")], proxies: proxies, cause: "stopped-at-a-proxy")
        try trial.expectClient(
            "203.0.113.7", "http", [.for("6.6.6.6, 203.0.113.7, 10.0.0.2, 10.0.0.3")], proxies: proxies,
            cause: "stopped-at-a-proxy")
        // A proxy of ours behind a stranger was written by the stranger.
        try trial.expectClient(
            "203.0.113.7", "http", [.for("10.0.0.2, 203.0.113.7, 10.0.0.3")], proxies: proxies,
            cause: "skipped-all-proxies")
        // A proxy asked by itself: nobody is behind it.
        try trial.expectClient("10.0.0.2", "http", [.for("10.0.0.2, 10.0.0.3")], proxies: proxies)
    },
    Check("forwarded-forms") { trial in
        for (written, address) in [
            ("203.0.113.7:4711", "203.0.113.7"), ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("  203.0.113.7\t", "203.0.113.7"),
            ("203.0.113.7:9", "203.0.113.7"), ("[2001:db8::1]:65535", "2001:db8::1"),
            ("2001:db8::1:4711", "2001:db8::1:4711"),
        ] {
            try trial.expectClient(address, "http", [.for(written)], cause: "form-of-address")
            try trial.expectClient(address, "http", [.for("junk, \(written) ")], cause: "form-of-address")
        }
        // One address in another notation is the same proxy.
        let proxies = ["0:0:0:0:0:0:0:1", "2001:DB8::00FF"]
        try trial.expectClient(
            "203.0.113.7", "http", peer: "::1", [.for("203.0.113.7, 2001:db8:0::ff")], proxies: proxies,
            cause: "compared-as-text")
    },
    Check("forwarded-junk") { trial in
        for junk in [
            "", "unknown", "_hidden", "203.0.113", "203.0.113.7.8", "203.0.113.256", "localhost", "[2001:db8::1",
            "203.0.113.7:", "203.0.113.7:http", "203.0.113.7:65536", "[]", "[::1]x", ":", "203.0.113.7 1.2.3.4", "世界",
            "<script>", String(repeating: "1", count: 5000),
        ] {
            // Somebody whom we do not know wrote that: the last one whom we do know is all that is known.
            try trial.expectClient("127.0.0.1", "http", [.for(junk)], cause: "junk-believed")
            try trial.expectClient("127.0.0.1", "http", [.for("1.2.3.4, \(junk)")], cause: "junk-believed")
            try trial.expectClient("203.0.113.7", "http", [.for("\(junk), 203.0.113.7")], cause: "junk-believed")
        }
        try trial.expectClient("127.0.0.1", "http", [.for("1.2.3.4,")], cause: "junk-believed")
    },
    Check("forwarded-scheme") { trial in
        let client = HTTPField.for("203.0.113.7")
        for (value, scheme) in [
            ("https", "https"), ("http", "http"), ("HTTPS", "https"), ("http, https", "https"), ("https, http", "http"),
            ("", "http"), ("wss", "http"), ("httpsx", "http"),
        ] {
            try trial.expectClient(
                "203.0.113.7", scheme, [client, HTTPField("X-Forwarded-Proto", value)], cause: "scheme-wrong")
        }
        for (name, cause) in [("X-Forwarded-Proto", "one-field-of-several"), ("x-forwarded-proto", "field-name-case")] {
            try trial.expectClient(
                "203.0.113.7", "https",
                [client, HTTPField("X-Forwarded-Proto", "http"), HTTPField(name, "https")], cause: cause)
        }
        // What the last proxy says counts, however far back the client is found.
        try trial.expectClient(
            "203.0.113.7", "https",
            [.for("203.0.113.7, 10.0.0.2, 10.0.0.3"), HTTPField("X-Forwarded-Proto", "http, http, https")],
            proxies: ["127.0.0.1", "10.0.0.2", "10.0.0.3"], cause: "scheme-of-another-hop")
        // The scheme needs no address.
        try trial.expectClient(
            "127.0.0.1", "https", [HTTPField("X-Forwarded-Proto", "https")], cause: "scheme-wrong")
    },
    Check("forwarded-other-header") { trial in
        // The proxy writes one of the two, and hands on the other as the client wrote it.
        let both = [
            HTTPField("Forwarded", "for=6.6.6.6;proto=https"), HTTPField.for("203.0.113.7"),
        ]
        try trial.expectClient("203.0.113.7", "http", both, cause: "believed-the-other-header")
        try trial.expectClient("6.6.6.6", "https", both, header: .forwarded, cause: "believed-the-other-header")
        try trial.expectClient(
            "127.0.0.1", "http", [.for("6.6.6.6"), HTTPField("X-Forwarded-Proto", "https")], header: .forwarded,
            cause: "believed-the-other-header")
    },
    Check("forwarded-rfc7239") { trial in
        for (value, address, scheme) in [
            ("for=192.0.2.43", "192.0.2.43", "http"), ("For=192.0.2.43;Proto=HTTPS", "192.0.2.43", "https"),
            ("proto=https;for=192.0.2.43;by=203.0.113.43", "192.0.2.43", "https"),
            ("for=\"192.0.2.43:4711\"", "192.0.2.43", "http"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17", "http"),
            ("for=6.6.6.6;proto=https, for=192.0.2.43;proto=http", "192.0.2.43", "http"),
            ("for=6.6.6.6,for=192.0.2.43 ; proto=https", "192.0.2.43", "https"),
            ("for=\"_a,b;c\", for=192.0.2.43", "192.0.2.43", "http"),
            ("for=\"a\\\", for=6.6.6.6\", for=192.0.2.43", "192.0.2.43", "http"),
            ("for=unknown;proto=https", "127.0.0.1", "https"), ("for=192.0.2.43, for=_x", "127.0.0.1", "http"),
            ("for=192.0.2.43, proto=https", "127.0.0.1", "https"),
            ("for=192.0.2.43;ext=\"a=b\"", "192.0.2.43", "http"),
            // Only the last element is the proxy's: what stands before it may be a stranger's.
            ("for=6.6.6.6;proto=https, for=192.0.2.43", "192.0.2.43", "http"),
        ] {
            try trial.expectClient(
                address, scheme, [HTTPField("Forwarded", value)], header: .forwarded, cause: "forwarded-misread")
        }
        try trial.expectClient(
            "192.0.2.43", "http", [HTTPField("Forwarded", "for=192.0.2.43;proto=https, for=10.0.0.2;proto=http")],
            proxies: ["127.0.0.1", "10.0.0.2"], header: .forwarded, cause: "scheme-of-another-hop")
        for (name, cause) in [("Forwarded", "one-field-of-several"), ("forwarded", "field-name-case")] {
            try trial.expectClient(
                "192.0.2.43", "http",
                [HTTPField("Forwarded", "for=6.6.6.6"), HTTPField(name, "for=192.0.2.43")], header: .forwarded,
                cause: cause)
        }
    },
    Check("forwarded-broken-quotes") { trial in
        // The client left a quote open; the proxy's own words stand inside of it now, or do they?
        for value in [
            "for=\"6.6.6.6, for=192.0.2.43", "for=192.0.2.43;proto=\"https", "for=\"6.6.6.6\\\", for=192.0.2.43",
            "nonsense, for=192.0.2.43", "for=192.0.2.43, \"",
        ] {
            try trial.expectClient(
                "127.0.0.1", "http", [HTTPField("Forwarded", value)], header: .forwarded, cause: "broken-field-believed"
            )
        }
        // Several fields are one list, and a broken one breaks it.
        let whole = HTTPField("Forwarded", "for=203.0.113.7;proto=https")
        for broken in ["for=\"6.6.6.6", "nonsense"] {
            let field = HTTPField("Forwarded", broken)
            for fields in [[field, whole], [whole, field]] {
                try trial.expectClient("127.0.0.1", "http", fields, header: .forwarded, cause: "broken-field-believed")
            }
        }
    },
]

extension HTTPField {
    fileprivate static func `for`(_ value: String) -> HTTPField { HTTPField("X-Forwarded-For", value) }
}

extension Trial {
    /// - Parameter cause: the mistake, if the address or the scheme is another.
    fileprivate func expectClient(
        _ address: String, _ scheme: String, peer: String = "127.0.0.1", _ fields: [HTTPField],
        proxies: [String] = ["127.0.0.1", "::1"], header: ProxyTrust.Header = .xForwarded, cause: String? = nil
    ) throws {
        let list = Value.list(fields.map { .list([.string($0.name), .string($0.value)]) })
        let trusted = Value.list(proxies.map { .string($0) })
        let got = try call("forwarded-client", .string(peer), list, trusted, .string(header.rawValue))
        guard got != .list([.string(address), .string(scheme)]) else { return }
        let lines = fields.map { "\($0.name): \(quoted(Array($0.value.utf8), most: 60))" }
        let name = header == .forwarded ? "Forwarded" : "X-Forwarded-*"
        let trust = proxies.isEmpty ? say("nobody", "无") : proxies.joined(separator: ", ")
        var text = "\(got.text)"
        var cause = cause
        if case .list(let parts) = got, parts.count == 2, case .string(let first) = parts[0],
            case .string(let second) = parts[1]
        {
            text = "\(first), \(second)"
            // It may have gone past all of them.
            if cause == "stopped-at-a-proxy", !proxies.contains(first) {
                let leftmost = fields.first?.value.split(separator: ",").first.map { trimmed($0) }
                cause = first == leftmost ? "took-the-leftmost" : nil
            }
            // Whatever this check is about: of two good addresses it takes the first.
            let elements = fields.filter { $0.name.lowercased() == "x-forwarded-for" }
                .flatMap { $0.value.split(separator: ",", omittingEmptySubsequences: false) }
            if header == .xForwarded, proxies.contains(peer), first != address, elements.count > 1 {
                let two = Value.list([.list([.string("X-Forwarded-For"), .string("1.2.3.4, 203.0.113.7")])])
                let other = try? self.call(
                    "forwarded-client", .string(peer), two, trusted, .string(header.rawValue))
                if case .list(let parts)? = other, parts.first == .string("1.2.3.4") { cause = "took-the-leftmost" }
            }
        }
        throw Failure(
            expected: say("the client \(address), \(scheme)", "客户端 \(address)，\(scheme)"), got: text,
            difference: [
                say("from \(peer), trusted: \(trust), header: \(name)", "连接来自 \(peer)，受信任的代理：\(trust)，采用 \(name)")
            ] + (lines.isEmpty ? [say("no such field", "没有相关字段")] : lines), cause: cause)
    }
}
