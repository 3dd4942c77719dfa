// The skeleton of one exercise: small, complete, and graded from the first minute. Its author replaces what it does.

/// What the skeleton does, to begin with.
public enum ExerciseKind: String, CaseIterable, Sendable {
    /// A TCP server that sends back what it receives.
    case tcp
    /// The same over UDP.
    case udp
    /// A function that turns bytes round.
    case function
}

struct ExerciseTemplate {
    /// The lesson: `17-my-topic`.
    var slug: String
    /// `echo-server`
    var id: String
    var kind: ExerciseKind

    var number: String { String(slug.prefix(2)) }
    var name: String { Slug.identifier(id) }
    var file: String { Slug.typeName(id) + ".swift" }
    /// The one check that it begins with.
    var check: String { id + "-answers" }
    /// The heading that teaches it.
    var anchor: String { "writing-" + id }
    var checksName: String { "lesson\(number)\(Slug.typeName(id))" }

    // MARK: The contract

    var closureType: String {
        kind == .function ? "([UInt8]) throws -> [UInt8]" : "(_ host: String, _ port: UInt16) throws -> Void"
    }

    var contractComment: String {
        switch kind {
        case .tcp: "/// Sends back everything that a client sends, one client after another."
        case .udp: "/// Sends every datagram back to whom it came from."
        case .function: "/// The bytes in reverse order."
        }
    }

    var property: String { "    \(contractComment)\n    public var \(name): \(closureType)\n" }
    var parameter: String { "        \(name): @escaping \(closureType)" }
    var assignment: String { "        self.\(name) = \(name)\n" }
    var entry: String {
        kind == .function
            ? "            .function(\"\(id)\") { .bytes(try \(name)(try $0.bytes(0))) },\n"
            : "            .server(\"\(id)\", \(name)),\n"
    }
    var argument: String { "        \(name): \(name)" }

    // MARK: What the student opens

    private var task: String {
        switch kind {
        case .tcp: "send everything that a client sends back to it."
        case .udp: "send every datagram back to whom it came from."
        case .function: "turn bytes round."
        }
    }

    private var calls: String {
        switch kind {
        case .tcp: "// Calls that you need: socket(2), bind(2), listen(2), accept(2), recv(2), send(2), close(2).\n"
        case .udp: "// Calls that you need: socket(2), bind(2), recvfrom(2), sendto(2).\n"
        case .function: ""
        }
    }

    var stub: String {
        """
        // Exercise \(number) \(id): \(task)
        //
        \(calls)// Read: Lessons/\(slug)/README.md#\(anchor)
        // Check: lab check \(number) \(id)
        import Course
        import Sockets

        \(documentation)
        \(signature) {
        \(steps)
        }

        """
    }

    private var signature: String {
        kind == .function
            ? "func \(name)(_ bytes: [UInt8]) throws -> [UInt8]"
            : "func \(name)(host: String, port: UInt16) throws"
    }

    private var documentation: String {
        guard kind != .function else { return "/// - Returns: the bytes, the last one first." }
        return """
            /// Runs until the process ends.
            ///
            /// - Parameter host: a numeric address, IPv4 or IPv6: bind exactly this one.
            /// - Parameter port: in host order; 0 lets the kernel choose.
            /// - Throws: `SocketError` if the socket cannot be made or bound.
            """
    }

    private var steps: String {
        switch kind {
        case .tcp:
            """
                // Step 1: make a listening socket that is bound to this address.
                //     let address = try SocketAddress(host: host, port: port)
                todo("step 1: socket, bind, listen")

                // Step 2: for ever: accept a client, send back all that it sends until it ends, close the connection.
                // todo("step 2: serve one client after another")
            """
        case .udp:
            """
                // Step 1: make a datagram socket that is bound to this address.
                //     let address = try SocketAddress(host: host, port: port)
                todo("step 1: socket, bind")

                // Step 2: for ever: receive a datagram and who sent it, and send it back to that sender.
                //     SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
                // todo("step 2: answer datagrams")
            """
        case .function:
            """
                // Step 1: return the bytes, the last one first.
                todo("step 1: turn them round")
            """
        }
    }

    // MARK: The solution

    var solution: String {
        """
        import Course
        import Sockets

        \(signature) {
        \(solutionBody)
        }

        """
    }

    private var solutionBody: String {
        switch kind {
        case .tcp:
            """
                let address = try SocketAddress(host: host, port: port)
                let listener = try check("socket", socket(address.family, SOCK_STREAM, 0))
                defer { close(listener) }
                // Without it the port cannot be bound again for a minute after the server has ended (TIME_WAIT).
                var on: Int32 = 1
                let size = socklen_t(MemoryLayout.size(ofValue: on))
                try check("setsockopt", setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, size))
                try check("bind", address.withSockaddr { bind(listener, $0, $1) })
                try check("listen", listen(listener, 16))

                var buffer = [UInt8](repeating: 0, count: 4096)
                while true {
                    let client = accept(listener, nil, nil)
                    if client < 0 {
                        // A signal came, or the client has left before it was taken: the next one is waited for.
                        if errno == EINTR || errno == ECONNABORTED { continue }
                        throw SocketError("accept", errno)
                    }
                    serving: while true {
                        let count = recv(client, &buffer, buffer.count, 0)
                        if count < 0 && errno == EINTR { continue }
                        // 0 is the end of what the client sends; an error ends this client, not the server.
                        if count <= 0 { break }
                        var sent = 0
                        while sent < count {
                            // MSG_NOSIGNAL: a client that has left must not end the server (SIGPIPE).
                            let part = buffer[sent..<count].withUnsafeBytes {
                                send(client, $0.baseAddress, $0.count, MSG_NOSIGNAL)
                            }
                            if part < 0 && errno == EINTR { continue }
                            if part < 0 { break serving }
                            sent += part
                        }
                    }
                    close(client)
                }
            """
        case .udp:
            """
                let address = try SocketAddress(host: host, port: port)
                let server = try check("socket", socket(address.family, SOCK_DGRAM, 0))
                defer { close(server) }
                try check("bind", address.withSockaddr { bind(server, $0, $1) })

                // No datagram is longer, so none is cut.
                var buffer = [UInt8](repeating: 0, count: 65_535)
                while true {
                    let (count, sender) = SocketAddress.received { recvfrom(server, &buffer, buffer.count, 0, $0, $1) }
                    if count < 0 {
                        // A signal came before a datagram did.
                        if errno == EINTR { continue }
                        throw SocketError("recvfrom", errno)
                    }
                    // What cannot be sent is lost, as UDP may lose it anyway; the server goes on.
                    while sender?.withSockaddr({ sendto(server, buffer, count, 0, $0, $1) }) == -1 && errno == EINTR {}
                }
            """
        case .function: "    bytes.reversed()"
        }
    }

    // MARK: The grader

    var checkBody: String {
        switch kind {
        case .tcp:
            """
                    let server = try trial.serve("\(id)")
                    let client = try server.connect()
                    let message = trial.random.bytes(100)
                    try client.send(message)
                    try client.expect(message)
            """
        case .udp:
            """
                    let server = try trial.serve("\(id)")
                    let client = try server.datagramClient()
                    let message = trial.random.bytes(100)
                    try client.send(message)
                    try client.expect(message)
            """
        case .function:
            """
                    let bytes = trial.random.bytes(100)
                    guard case .bytes(let got) = try trial.call("\(id)", .bytes(bytes)) else {
                        throw LabError("\(id) returns bytes")
                    }
                    try trial.expect(got, equals: bytes.reversed(), say("the bytes, the last one first", "倒序的各字节"))
            """
        }
    }

    var checks: String {
        """
        // Checks of exercise \(number) \(id). Each reads as the sentence that it checks; lesson.json describes it under the
        // same id.
        import Course
        import GraderKit
        import Sockets

        let \(checksName): [Check] = [
            Check("\(check)") { trial in
        \(checkBody)
            }
        ]

        """
    }

    var testMethod: String { "    func test_\(check.replacing("-", with: "_"))() throws { try grade() }\n" }

    // MARK: The texts

    var title: (en: String, zh: String) { (Slug.title(id), "练习 \(id)") }

    private var promise: (en: String, zh: String) {
        switch kind {
        case .tcp: ("sends back what a client sends", "把客户端发来的数据原样发回")
        case .udp: ("sends every datagram back", "把每个数据报原样发回")
        case .function: ("turns bytes round", "把字节倒序")
        }
    }

    private var expectation: (en: String, zh: String) {
        switch kind {
        case .tcp: ("sends exactly the 100 bytes back that a client sent", "把客户端发来的 100 字节原样发回")
        case .udp: ("sends a datagram of 100 bytes back as it was", "把 100 字节的数据报原样发回")
        case .function: ("returns 100 bytes, the last one first", "把 100 个字节倒序返回")
        }
    }

    private var hints: [(en: String, zh: String)] {
        switch kind {
        case .tcp:
            [
                ("Which call gives you the client's bytes, and what does it return?", "哪个调用会给你客户端的数据？它返回什么？"),
                ("recv returns how many bytes came; send takes as many.", "recv 返回收到的字节数，send 就发送这么多。"),
                (
                    "In a loop: count = recv(client, …); if count is 0, stop; send buffer[0..<count], until all of it is sent.",
                    "循环：count = recv(client, …)；count 为 0 就结束；把 buffer[0..<count] 全部发送完。"
                ),
            ]
        case .udp:
            [
                ("Which call tells you who sent the datagram?", "哪个调用会告诉你数据报是谁发来的？"),
                ("recvfrom fills in the sender's address; sendto takes one.", "recvfrom 填好发送方的地址，sendto 需要一个目的地址。"),
                (
                    "Pass sendto the address and the count that recvfrom just gave you.",
                    "把 recvfrom 刚给出的地址和字节数交给 sendto。"
                ),
            ]
        case .function:
            [
                ("Which byte must come first?", "哪个字节应该在最前面？"),
                ("Go through the bytes from the last to the first.", "从最后一个字节走到第一个。"),
                ("An array has the method reversed().", "数组有 reversed() 方法。"),
            ]
        }
    }

    private func text(_ pair: (en: String, zh: String)) -> String {
        "{ \"en\": \"\(pair.en)\", \"zh-Hans\": \"\(pair.zh)\" }"
    }

    /// Its entry in lesson.json.
    var json: String {
        """
            {
              "id": "\(id)",
              "file": "\(file)",
              "title": \(text(title)),
              "checks": [
                {
                  "id": "\(check)",
                  "points": 1,
                  "title": \(text(promise)),
                  "read": "\(anchor)",
                  "hints": [
                    \(hints.map(text).joined(separator: ",\n            "))
                  ]
                }
              ]
            }
        """
    }

    /// Its row in the lesson's table of exercises.
    func row(_ isChinese: Bool) -> String {
        "| `\(id)` | \(isChinese ? promise.zh : promise.en) | `\(file)` |\n"
    }

    /// The section that teaches it.
    func section(_ isChinese: Bool) -> String {
        isChinese
            ? """
            <a id="\(anchor)"></a>
            ## 编写 \(id)

            写下学生动手之前要知道的内容：要用的调用、字节的图示、可以做的小实验、人人都会犯的错误和它的样子。

            """
            : """
            ## Writing \(id)

            What a student must know before writing it: the calls, a picture of the bytes, an experiment, and the mistake that
            everyone makes and how it looks.

            """
    }

    /// What is graded, exactly.
    func statement(_ isChinese: Bool) -> String {
        """
        ### \(id)

        | \(isChinese ? "检查" : "check") | \(isChinese ? "你的程序……" : "your program …") |
        |---|---|
        | `\(check)` | \(isChinese ? expectation.zh : expectation.en) |

        """
    }
}
