import Course

/// One location for all: a map decides what Connection says, and which back ends are asked. Two servers, one for each port.
func proxyConfiguration(for site: ProxySite) -> String {
    var text = """
        map $http_upgrade $connection_to_back_end {
            default upgrade;
            '' '';
        }
        map $uri $group {
            default http_group;
            ~^/ws ws_group;
        }
        proxy_http_version 1.1;
        proxy_connect_timeout 700ms;
        proxy_next_upstream error timeout http_503 http_502;
        proxy_set_header Connection $connection_to_back_end;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Forwarded '';
        proxy_read_timeout \(site.idleTimeout)ms;

        """
    for (name, ports) in [("http_group", site.backEnds), ("ws_group", site.webSocketBackEnds)] {
        text += "upstream \(name) { zone \(name) 64k; least_conn;"
        for port in ports { text += " server 127.0.0.1:\(port) max_fails=0;" }
        text += " keepalive 4; }\n"
    }
    for listen in ["listen 127.0.0.1:\(site.httpPort);", tls(site)] {
        text += "server { \(listen) location / { proxy_pass http://$group; } }\n"
    }
    return text
}

private func tls(_ site: ProxySite) -> String {
    "listen 127.0.0.1:\(site.httpsPort) ssl; ssl_certificate \(site.certificate); ssl_certificate_key \(site.certificateKey);"
}
