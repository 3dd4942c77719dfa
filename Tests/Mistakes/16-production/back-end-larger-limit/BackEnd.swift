import Course
import Dispatch
import Foundation
import Solution08
import Sockets

func backEnd(host: String, port: UInt16, name: String, stop: Int32) throws {
    let server = try Server(host: host, port: port, name: name, stop: stop)
    server.run()
}

/// Everything happens on one serial queue; no descriptor blocks.
private final class Server {
    let queue = DispatchQueue(label: "back-end")
    let group = DispatchGroup()
    let name: String
    let stop: Int32
    var listener: Int32
    var listening: DispatchSourceRead?
    var clients: [ObjectIdentifier: Client] = [:]
    var stopped = false

    init(host: String, port: UInt16, name: String, stop: Int32) throws {
        self.name = name
        self.stop = stop
        let address = try SocketAddress(host: host, port: port)
        listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
        do {
            var on: Int32 = 1
            try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4))
            try check("bind", address.withSockaddr { bind(listener, $0, $1) })
            try check("fcntl", fcntl(listener, F_SETFL, O_NONBLOCK))
            try check("listen", listen(listener, 511))
        } catch {
            close(listener)
            throw error
        }
    }

    func run() {
        group.enter()
        queue.async { self.waitForClients() }
        let watch = DispatchSource.makeReadSource(fileDescriptor: stop, queue: queue)
        watch.setEventHandler {
            watch.cancel()
            self.begin()
        }
        watch.resume()
        group.wait()
    }

    func waitForClients() {
        let source = DispatchSource.makeReadSource(fileDescriptor: listener, queue: queue)
        source.setEventHandler { self.acceptAll() }
        source.setCancelHandler { [listener] in
            close(listener); self.group.leave()
        }
        listening = source
        source.resume()
    }

    func acceptAll() {
        while true {
            let (fd, peer) = SocketAddress.received { accept(listener, $0, $1) }
            if fd < 0 {
                let why = errno
                if why == EINTR || why == ECONNABORTED { continue }
                if why == EMFILE || why == ENFILE || why == ENOBUFS || why == ENOMEM, !stopped, let listening {
                    listening.suspend()
                    queue.asyncAfter(deadline: .now() + .milliseconds(50)) { listening.resume() }
                }
                return
            }
            _ = fcntl(fd, F_SETFL, O_NONBLOCK)
            let client = Client(fd: fd, peer: peer?.host ?? "", server: self)
            clients[ObjectIdentifier(client)] = client
            group.enter()
            client.work()
        }
    }

    func begin() {
        stopped = true
        acceptAll()
        listening?.cancel()
        for client in Array(clients.values) { client.stopBegins() }
        queue.asyncAfter(deadline: .now() + .milliseconds(Lesson16.stopPatience)) {
            for client in Array(self.clients.values) { client.end() }
        }
    }

    func gone(_ client: Client) {
        clients[ObjectIdentifier(client)] = nil
        group.leave()
    }
}

private final class Client {
    let fd: Int32
    let peer: String
    unowned let server: Server
    var decoder = Solution08.reference.makeRequestDecoder(RequestLimits(body: 1 << 21))
    var head: RequestHead?
    var body: [UInt8] = []
    var begun = false
    var out: [UInt8] = []
    var sent = 0
    var closing = false
    var draining = false
    var ended = false
    var waiting: (any DispatchSourceProtocol)?

    init(fd: Int32, peer: String, server: Server) {
        (self.fd, self.peer, self.server) = (fd, peer, server)
    }

    func stopBegins() {
        guard !ended, !draining, sent == out.count else { return }
        work()
    }

    /// As far as it goes without waiting.
    func work() {
        guard !ended else { return }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !ended {
            if sent < out.count {
                let n = out.withUnsafeBytes { send(fd, $0.baseAddress! + sent, out.count - sent, MSG_NOSIGNAL) }
                if n > 0 { sent += n; continue }
                if errno == EINTR { continue }
                if errno == EAGAIN { return wait(writing: true) }
                return end()
            }
            out = []
            sent = 0
            if closing && !draining {
                shutdown(fd, SHUT_WR)
                draining = true
                server.queue.asyncAfter(deadline: .now() + .seconds(2)) { self.end() }
            }
            if !draining {
                do {
                    if let event = try decoder.next() {
                        handle(event)
                        continue
                    }
                } catch {
                    answer((error as? RequestRefused)?.status ?? 400, [], keep: false)
                    continue
                }
            }
            let n = recv(fd, &buffer, buffer.count, 0)
            if n > 0 {
                if !draining {
                    begun = true
                    decoder.feed(Array(buffer[..<n]))
                }
                continue
            }
            if n == 0 { return end() }
            if errno == EINTR { continue }
            if errno == EAGAIN {
                if server.stopped && !begun && !draining {
                    closing = true
                    continue
                }
                return wait(writing: false)
            }
            return end()
        }
    }

    func wait(writing: Bool) {
        waiting?.cancel()
        let source: any DispatchSourceProtocol =
            writing
            ? DispatchSource.makeWriteSource(fileDescriptor: fd, queue: server.queue)
            : DispatchSource.makeReadSource(fileDescriptor: fd, queue: server.queue)
        source.setEventHandler {
            source.cancel()
            self.waiting = nil
            self.work()
        }
        waiting = source
        source.resume()
    }

    func end() {
        guard !ended else { return }
        ended = true
        let finish = {
            close(self.fd); self.server.gone(self)
        }
        if let source = waiting {
            waiting = nil
            source.setCancelHandler(handler: finish)
            source.cancel()
        } else {
            server.queue.async(execute: finish)
        }
    }

    func handle(_ event: RequestEvent) {
        switch event {
        case .head(let h):
            head = h
            body = []
        case .body(let bytes): body += bytes
        case .end:
            begun = false
            guard let head else { return }
            self.head = nil
            let options = head.fields.filter { $0.name.lowercased() == "connection" }
                .flatMap { $0.value.lowercased().split(separator: ",") }
                .map { $0.trimmingCharacters(in: .whitespaces) }
            let keep = head.minorVersion > 0 && !options.contains("close")
            let path = String(head.target.prefix { $0 != "?" })
            switch (head.method, path) {
            case ("GET", "/"):
                let who = forwardedClient(peer: peer, fields: head.fields, trust: Lesson16.trust)
                answer(200, Array("\(server.name) \(who.address) \(who.scheme)\n".utf8), keep: keep)
            case ("GET", "/health"):
                if server.stopped {
                    answer(503, Array("stopping\n".utf8), keep: false)
                } else {
                    answer(200, Array("ok\n".utf8), keep: keep)
                }
            case ("POST", "/upper"):
                answer(200, body.map { $0 >= 97 && $0 <= 122 ? $0 - 32 : $0 }, keep: keep)
            default: answer(404, head.method == "HEAD" ? [] : Array("not found\n".utf8), keep: keep)
            }
            body = []
        }
    }

    func answer(_ status: Int, _ content: [UInt8], keep: Bool) {
        closing = !keep || server.stopped
        let head =
            "HTTP/1.1 \(status) \(status < 300 ? "OK" : "Error")\r\n"
            + "Content-Type: text/plain\r\nContent-Length: \(content.count)\r\n"
            + (closing ? "Connection: close\r\n\r\n" : "\r\n")
        out = Array(head.utf8) + content
        sent = 0
    }
}
