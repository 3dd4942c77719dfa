import Course

/// Two server blocks, one for each port, made by the same function: each says its scheme itself.
func proxyConfiguration(for site: ProxySite) -> String {
    let certificate = [
        "ssl_certificate \"\(escaped(site.certificate))\";",
        "ssl_certificate_key \"\(escaped(site.certificateKey))\";",
    ]
    let blocks = [
        block("upstream pages", site.backEnds.map { "server 127.0.0.1:\($0);" } + ["keepalive 8;"]),
        block("upstream talks", site.webSocketBackEnds.map { "server 127.0.0.1:\($0);" }),
        block("server", ["listen 127.0.0.1:\(site.httpPort);"] + locations(site, "http")),
        block("server", ["listen 127.0.0.1:\(site.httpsPort) ssl;"] + certificate + locations(site, "https")),
    ]
    return blocks.joined(separator: "\n")
}

private func locations(_ site: ProxySite, _ scheme: String) -> [String] {
    let common = [
        "proxy_http_version 1.1;",
        "proxy_connect_timeout 1s;",
        "proxy_next_upstream error timeout invalid_header http_503;",
        "proxy_set_header Host $http_host;",
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "proxy_set_header X-Forwarded-Proto \(scheme);",
        "proxy_set_header Forwarded \"\";",
    ]
    let socket = [
        "proxy_set_header Upgrade $http_upgrade;",
        "proxy_set_header Connection upgrade;",
        "proxy_read_timeout \(site.idleTimeout)ms;",
        "proxy_pass http://talks;",
    ]
    let page = ["proxy_set_header Connection \"\";", "proxy_pass http://pages;"]
    return [block("location /ws", common + socket), block("location /", common + page)]
}

private func block(_ name: String, _ lines: [String]) -> String {
    name + " {\n" + lines.map { $0 + "\n" }.joined() + "}"
}

private func escaped(_ path: String) -> String {
    path.reduce(into: "") { text, character in
        if character == "\"" || character == "\\" { text.append("\\") }
        text.append(character)
    }
}
