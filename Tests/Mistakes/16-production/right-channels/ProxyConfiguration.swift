import Course

func proxyConfiguration(for site: ProxySite) -> String {
    [
        Block("upstream app", site.backEnds.map { .line("server 127.0.0.1:\($0)") } + [.line("keepalive 16")]),
        Block("upstream pages", site.webSocketBackEnds.map { .line("server 127.0.0.1:\($0)") }),
        // Only a client that wants an upgrade gets one; for all others the field is left out.
        Block("map $http_upgrade $upgrade_or_nothing", [.line("default upgrade"), .line("'' ''")]),
        Block(
            "server",
            [
                .line("listen 127.0.0.1:\(site.httpPort)"),
                .line("listen 127.0.0.1:\(site.httpsPort) ssl"),
                .line("ssl_certificate '\(site.certificate)'"),
                .line("ssl_certificate_key '\(site.certificateKey)'"),
                .line("proxy_http_version 1.1"),
                .line("proxy_connect_timeout 1s"),
                .line("proxy_next_upstream error timeout http_503"),
                // All fields here, and none in the blocks within: so both inherit them.
                .line("proxy_set_header Host $http_host"),
                .line("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for"),
                .line("proxy_set_header X-Forwarded-Proto $scheme"),
                .line("proxy_set_header Forwarded ''"),
                .line("proxy_set_header Connection $field_connection"),
                .line("proxy_set_header Upgrade $field_upgrade"),
                .line("set $field_connection ''"),
                .line("set $field_upgrade ''"),
                .block(Block("location /", [.line("proxy_pass http://app")])),
                .block(
                    Block(
                        "location /ws",
                        [
                            .line("set $field_connection $upgrade_or_nothing"),
                            .line("set $field_upgrade $http_upgrade"),
                            .line("proxy_pass http://pages"),
                            .line("proxy_read_timeout \(site.idleTimeout)ms"),
                        ])),
            ]),
    ].map { $0.text(0) }.joined()
}

private indirect enum Item {
    case line(String)
    case block(Block)
}

private struct Block {
    var name: String
    var items: [Item]

    init(_ name: String, _ items: [Item]) { (self.name, self.items) = (name, items) }

    func text(_ depth: Int) -> String {
        let indent = String(repeating: "    ", count: depth)
        let inside = items.map { item in
            switch item {
            case .line(let text): return indent + "    " + text + ";\n"
            case .block(let block): return block.text(depth + 1)
            }
        }
        return indent + name + " {\n" + inside.joined() + indent + "}\n"
    }
}
