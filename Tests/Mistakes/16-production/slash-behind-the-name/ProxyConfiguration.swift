import Course

func proxyConfiguration(for site: ProxySite) -> String {
    func servers(_ ports: [UInt16]) -> String {
        ports.map { "server 127.0.0.1:\($0);" }.joined(separator: "\n    ")
    }
    return """
        upstream back_ends {
            \(servers(site.backEnds))
            # Connections that wait for the next request; not a limit.
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

            # HTTP/1.0 has neither connections that are kept nor Upgrade.
            proxy_http_version 1.1;
            # On loopback a back end that does not take a connection in a second takes none.
            proxy_connect_timeout 1s;
            # What may be asked again is asked of the next one. A POST is not: the first may have done it already.
            proxy_next_upstream error timeout http_503;

            location / {
                proxy_pass http://back_ends/;
                # A proxy_set_header of this block replaces all of the block around it: so each has them all.
                proxy_set_header Connection "";
                \(forwarded)
            }

            location /ws {
                proxy_pass http://web_sockets;
                # Connection and Upgrade are for one connection only: a proxy never passes them on unless told to.
                proxy_set_header Connection "upgrade";
                proxy_set_header Upgrade $http_upgrade;
                \(forwarded)
                proxy_read_timeout \(site.idleTimeout)ms;
            }
        }

        """
}

/// Who asked, and how. Forwarded is the client's own invention here: it is not passed on.
private let forwarded = """
    proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Forwarded "";
    """

/// A path may have a space in it.
private func quoted(_ path: String) -> String {
    "\"" + path.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
}
