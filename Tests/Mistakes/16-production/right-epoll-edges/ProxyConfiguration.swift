import Course

func proxyConfiguration(for site: ProxySite) -> String {
    var lines: [String] = []
    func block(_ head: String, _ content: () -> Void) {
        lines.append(head + " {")
        content()
        lines.append("}")
    }
    func say(_ directives: String...) { lines += directives.map { $0 + ";" } }

    block("upstream pool") {
        for port in site.backEnds { say("server 127.0.0.1:\(port)") }
        say("keepalive 32")
    }
    block("upstream sockets") {
        for port in site.webSocketBackEnds { say("server 127.0.0.1:\(port)") }
    }
    func common() {
        say(
            "proxy_set_header Host $http_host", "proxy_set_header X-Forwarded-For $remote_addr",
            "proxy_set_header X-Forwarded-Proto $scheme", "proxy_set_header Forwarded \"\"", "proxy_http_version 1.1",
            "proxy_connect_timeout 700ms", "proxy_next_upstream error timeout invalid_header http_503")
    }
    func locations() {
        block("location ^~ /ws") {
            common()
            say(
                "proxy_pass http://sockets", "proxy_set_header Upgrade $http_upgrade",
                "proxy_set_header Connection upgrade", "proxy_read_timeout \(site.idleTimeout)ms")
        }
        block("location /") {
            common()
            say("proxy_pass http://pool", "proxy_set_header Connection \"\"")
        }
    }
    block("server") {
        say("listen 127.0.0.1:\(site.httpPort)")
        locations()
    }
    block("server") {
        say(
            "listen 127.0.0.1:\(site.httpsPort) ssl", "ssl_certificate '\(site.certificate)'",
            "ssl_certificate_key '\(site.certificateKey)'")
        locations()
    }
    return lines.joined(separator: "\n") + "\n"
}
