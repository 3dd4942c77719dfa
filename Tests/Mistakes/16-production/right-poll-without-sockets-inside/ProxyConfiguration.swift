import Course

func proxyConfiguration(for site: ProxySite) -> String {
    let pools = [("plain", site.backEnds, "keepalive 64;"), ("live", site.webSocketBackEnds, "")].map {
        name, ports, more in
        (["upstream \(name) {"] + ports.map { "    server 127.0.0.1:\($0) max_fails=2 fail_timeout=5s;" } + [
            "    \(more)", "}",
        ])
        .joined(separator: "\n")
    }
    // At the level of http: in force wherever no block has one of its own.
    let fields = [
        ("Host", "$http_host"), ("X-Forwarded-For", "$proxy_add_x_forwarded_for"), ("X-Forwarded-Proto", "$scheme"),
        ("Forwarded", "\"\""),
    ]
    func set(_ more: [(String, String)]) -> String {
        (fields + more).map { "proxy_set_header \($0.0) \($0.1);" }.joined(separator: "\n")
    }
    let locations = """
        location / { proxy_pass http://plain; }
        location /ws {
            proxy_pass http://live;
            proxy_read_timeout \(site.idleTimeout)ms;
            \(set([("Upgrade", "$http_upgrade"), ("Connection", "Upgrade")]))
        }
        """
    return """
        \(pools.joined(separator: "\n"))
        proxy_http_version 1.1;
        \(set([("Connection", "\"\"")]))
        proxy_connect_timeout 1500ms;
        proxy_next_upstream error timeout http_502 http_503 http_504;
        ssl_certificate "\(site.certificate)";
        ssl_certificate_key "\(site.certificateKey)";
        server {
            listen 127.0.0.1:\(site.httpPort);
            \(locations)
        }
        server {
            listen 127.0.0.1:\(site.httpsPort) ssl;
            \(locations)
        }

        """
}
