import Course

func proxyConfiguration(for site: ProxySite) -> String {
    let servers = site.backEnds.map { "server 127.0.0.1:\($0);" }.joined(separator: " ")
    return """
        upstream back_ends { \(servers) }
        server {
            listen 127.0.0.1:\(site.httpPort);
            location / {
                proxy_pass http://back_ends;
            }
        }
        """
}
