import Course

func proxyConfiguration(for site: ProxySite) -> String {
    func servers(_ ports: [UInt16]) -> String {
        ports.map { "server 127.0.0.1:\($0);" }.joined(separator: "\n    ")
    }
    return """
        upstream back_ends {
            \(servers(site.backEnds))
            keepalive 16;
        }

        upstream web_sockets {
            \(servers(site.webSocketBackEnds))
        }

        server {
            listen 127.0.0.1:\(site.httpPort);
            listen 127.0.0.1:\(site.httpsPort) ssl;
            ssl_certificate \(quoted(site.certificate));
            ssl_certificate_key \(quoted(site.certificateKey));

            proxy_http_version 1.1;
            proxy_connect_timeout 1s;
            proxy_next_upstream off;

            location / {
                proxy_pass http://back_ends;
                proxy_set_header Connection "";
                \(forwarded)
            }

            location /ws {
                proxy_pass http://web_sockets;
                proxy_set_header Connection "upgrade";
                proxy_set_header Upgrade $http_upgrade;
                \(forwarded)
                proxy_read_timeout \(site.idleTimeout)ms;
            }
        }

        """
}

private let forwarded = """
    proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded "";
    """

private func quoted(_ path: String) -> String {
    "\"" + path.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
}
