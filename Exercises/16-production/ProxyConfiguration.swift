// Exercise 16 proxy-config: what nginx is told. The function returns what stands in nginx.conf between `http {` and `}`.
//
// Directives that you need: upstream, server, keepalive, listen, ssl_certificate, ssl_certificate_key, location, proxy_pass,
// proxy_http_version, proxy_set_header, proxy_next_upstream, proxy_connect_timeout, proxy_read_timeout.
// Read: Lessons/16-production/README.md#telling-nginx
// Check: lab check 16 proxy-config
import Course

/// - Parameter site: ports on 127.0.0.1, the certificate's files, and the timeout for WebSockets (ms).
/// - Returns: the text of the configuration.
func proxyConfiguration(for site: ProxySite) -> String {
    // Step 1: an upstream with all of site.backEnds, and a server that listens on site.httpPort and passes all on to it.
    todo("step 1: upstream, server, proxy_pass")

    // Step 2: connections to the back ends that are kept: HTTP/1.1, no Connection field, keepalive.
    // todo("step 2: keep-alive")

    // Step 3: Host as the client sent it, X-Forwarded-For, X-Forwarded-Proto; no Forwarded.
    // todo("step 3: who asked")

    // Step 4: location /ws: site.webSocketBackEnds, Upgrade and Connection, site.idleTimeout.
    // todo("step 4: WebSocket")

    // Step 5: the same on site.httpsPort, with TLS.
    // todo("step 5: listen … ssl, certificate, key")

    // Step 6: a back end that is gone, takes no connection, or answers 503: the next one is asked, but never twice for a POST.
    // todo("step 6: proxy_connect_timeout, proxy_next_upstream")
}
