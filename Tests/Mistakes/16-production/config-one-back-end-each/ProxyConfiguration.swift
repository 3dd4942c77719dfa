import Course

func proxyConfiguration(for site: ProxySite) -> String {
    let whoAsked = """
        proxy_set_header Host              $http_host;
        proxy_set_header X-Forwarded-For   $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Forwarded         "";
        """
    var text = ""
    for (name, ports) in [("pages", site.backEnds), ("sockets", site.webSocketBackEnds)] {
        text += "upstream \(name) {\n"
        for port in ports { text += "  server 127.0.0.1:\(port) max_fails=1 fail_timeout=10s;\n" }
        if name == "pages" { text += "  keepalive 64;\n" }
        text += "}\n"
    }
    text += """
        proxy_http_version 1.1;
        proxy_connect_timeout 800ms;

        server {
        listen 127.0.0.1:\(site.httpPort);
        listen 127.0.0.1:\(site.httpsPort) ssl;
        ssl_certificate     "\(site.certificate)";
        ssl_certificate_key "\(site.certificateKey)";

        # A WebSocket has a state: what one of them has begun, no other can go on with.
        location /ws {
        proxy_pass http://sockets;
        \(whoAsked)
        proxy_set_header Upgrade    $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_read_timeout  \(site.idleTimeout)ms;
        proxy_next_upstream off;
        }

        location / {
        proxy_pass http://pages;
        \(whoAsked)
        proxy_set_header Connection "";
        proxy_next_upstream error timeout http_502 http_503 http_504;
        }
        }

        """
    return text
}
