import Course

func proxyConfiguration(for site: ProxySite) -> String {
    func upstream(_ name: String, _ ports: [UInt16]) -> String {
        var text = "upstream \(name) {\n    least_conn;\n"
        for port in ports { text += "    server 127.0.0.1:\(port);\n" }
        return text + "    keepalive 8;\n}\n"
    }
    let who = """
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded "";
            proxy_connect_timeout 800ms;
            proxy_next_upstream error timeout http_503;

        """
    let locations = """
            location /ws {
                proxy_pass http://sockets;
        \(who)
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection upgrade;
                proxy_read_timeout \(site.idleTimeout)ms;
            }
            location / {
                proxy_pass http://pages;
        \(who)
                proxy_set_header Connection "";
            }

        """
    return upstream("pages", site.backEnds) + upstream("sockets", [site.webSocketBackEnds[0]]) + """
        server {
            listen 127.0.0.1:\(site.httpPort);
        \(locations)
        }
        server {
            listen 127.0.0.1:\(site.httpsPort) ssl;
            ssl_certificate \(site.certificate);
            ssl_certificate_key \(site.certificateKey);
        \(locations)
        }

        """
}
