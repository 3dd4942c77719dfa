import Course

func proxyConfiguration(for site: ProxySite) -> String {
    let own = "127.0.0.1"
    func upstream(_ name: String, _ ports: [UInt16], _ more: String) -> String {
        "upstream \(name) { least_conn; " + ports.map { "server \(own):\($0);" }.joined(separator: " ") + " \(more) }\n"
    }
    func location(_ path: String, _ pool: String, connection: String, _ more: String) -> String {
        """
        location \(path) {
            proxy_pass http://\(pool);
            proxy_set_header Connection "\(connection)";
            proxy_set_header Forwarded "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            \(more)
        }

        """
    }
    return upstream("web", site.backEnds, "keepalive 8;") + upstream("talk", site.webSocketBackEnds, "")
        + "proxy_http_version 1.1;\nproxy_connect_timeout 1s;\nproxy_next_upstream error timeout http_503;\nserver {\n"
        + "listen \(own):\(site.httpPort);\nlisten \(own):\(site.httpsPort) ssl;\n"
        + "ssl_certificate \"\(site.certificate)\";\nssl_certificate_key \"\(site.certificateKey)\";\n"
        + location("/", "web", connection: "", "")
        + location(
            "/ws", "talk", connection: "upgrade",
            "proxy_set_header Upgrade $http_upgrade; proxy_read_timeout \(site.idleTimeout)ms;")
        + "}\n"
}
