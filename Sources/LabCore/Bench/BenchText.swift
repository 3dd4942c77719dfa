// What `lab bench` prints: a table, and in words what the numbers in it are.
import Course

public struct BenchText {
    let result: ServerBench.Result
    let width: Int

    public init(result: ServerBench.Result, width: Int) {
        self.result = result
        self.width = width
    }

    public var lines: [StyledText] {
        (result.rows.isEmpty ? [] : table + [StyledText()] + explanations) + crowd
    }

    private var table: [StyledText] {
        let head = line(
            "", "", say("msgs/s", "消息/秒"), "p50", "p99", say("of C", "比C"), say("range", "范围"))
        var lines = [StyledText("  " + head, .quiet)]
        for (index, row) in result.rows.enumerated() {
            let isNew = index == 0 || row.server == "C"
            if isNew && index > 0 { lines.append(StyledText()) }
            let isBaseline = row.server == "C"
            let mark =
                row.least == nil ? StyledText("  ") : row.isEnough ? StyledText("✔ ", .good) : StyledText("✘ ", .bad)
            let text = line(
                isBaseline ? baselineName(row) : row.bench, name(row), grouped(row.messagesPerSecond), time(row.p50),
                time(row.p99), hundredths(row.ratio),
                isBaseline ? "" : "\(hundredths(row.lowest))–\(hundredths(row.highest))")
            let least = row.least.map { "  ≥ \(hundredths($0))" } ?? ""
            lines.append(mark + StyledText(text, isBaseline ? .quiet : .plain) + StyledText(least, .quiet))
        }
        return lines
    }

    /// The C server that five of ours are compared with is an epoll server, whatever they are.
    private func baselineName(_ row: ServerBench.Row) -> String {
        ["tcp", "select", "pool", "async"].contains(row.bench) ? "epoll" : row.bench
    }

    private func name(_ row: ServerBench.Row) -> String {
        row.server == "reference" ? say("reference", "参考答案") : row.server
    }

    private func line(_ columns: String...) -> String {
        let widths = [9, 9, 9, 6, 11]
        let numbers = zip(columns.dropFirst(2), widths).map { $0.leftPadded(to: $1) }.joined()
        let text = columns[0].padded(to: 10) + columns[1].padded(to: 10) + numbers
        return String(text.reversed().drop { $0 == " " }.reversed())
    }

    private var explanations: [StyledText] {
        let connections = ServerBench.connections
        let (message, file) = (ServerBench.messageSize, ServerBench.fileSize)
        var texts = [
            say(
                "\(connections) connections, each with one request under way: \(message) bytes, over HTTP a file of \(file). "
                    + "Server and load share one CPU. Medians of \(result.rounds) rounds, in which the servers take turns; "
                    + "every byte was checked.",
                "\(connections) 个连接，每个连接上总有一个未回答的请求：\(message) 字节，HTTP 取 \(file) 字节的文件。服务器与负载共用一个 CPU。"
                    + "各服务器逐轮交替，取 \(result.rounds) 轮的中位数；每个字节都经过核对。")
        ]
        if result.rows.contains(where: { $0.bench == ServerBench.Kind.chat.rawValue }) {
            texts.append(
                say(
                    "In the chat room a message counts once for each of the \(connections) members that get it; p50 and p99 are "
                        + "the time until it is back at the one who said it.",
                    "聊天室的 \(connections) 个成员各收到一次，一条消息就算 \(connections) 条；p50 和 p99 是消息回到发言者手里的时间。"))
        }
        if result.others >= 0.05 {
            let percent = Int((result.others * 100).rounded())
            texts.append(
                say(
                    "Other programs took \(percent) % of that CPU. Their time is not counted; but p50 and p99 contain it.",
                    "其他程序占用了这个 CPU 的 \(percent)%，这段时间已经扣除；但 p50 和 p99 包含它。"))
        }
        return texts.flatMap { StyledText($0, .quiet).wrapped(to: width) }
    }

    private var crowd: [StyledText] {
        guard let crowd = result.crowd else { return [] }
        let (connections, messages) = (grouped(Double(crowd.connections)), grouped(Double(crowd.messages)))
        let seconds = hundredths(crowd.seconds)
        let memory = hundredths(Double(crowd.serverMemory) / 1024)
        let text = say(
            "\(connections) connections at once to the epoll server: \(messages) messages of 1 to 2,000 bytes answered, each "
                + "byte as it should be, in \(seconds) s; the server used \(memory) MB.",
            "epoll 服务器同时 \(connections) 个连接：\(messages) 条 1 到 2,000 字节的消息全部收到回答，逐字节正确，用时 \(seconds) 秒；"
                + "服务器最多占用 \(memory) MB 内存。")
        let gap = result.rows.isEmpty ? [] : [StyledText()]
        let wrapped = StyledText(text).wrapped(to: width - 2)
        return gap + wrapped.enumerated().map { $0 == 0 ? StyledText("✔ ", .good) + $1 : StyledText("  ") + $1 }
    }

    private func grouped(_ value: Double) -> String {
        var digits = String(Int(value.rounded()))
        var groups: [String] = []
        while digits.count > 3 {
            groups.insert(String(digits.suffix(3)), at: 0)
            digits.removeLast(3)
        }
        return ([digits] + groups).joined(separator: ",")
    }

    /// From microseconds.
    private func time(_ microseconds: Double) -> String {
        microseconds < 10_000 ? "\(Int(microseconds.rounded())) µs" : "\(Int((microseconds / 1000).rounded())) ms"
    }
}

/// `0.97`
public func hundredths(_ value: Double) -> String {
    let scaled = Int((value * 100).rounded())
    return "\(scaled / 100)." + (scaled % 100 < 10 ? "0" : "") + "\(scaled % 100)"
}
