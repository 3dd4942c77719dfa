// How fast the reference servers are, beside plain C that does the same work.
//
// The programs are built for release, into a folder of their own. `BenchLoad` starts one server, drives it on the same CPU,
// looks at every byte, and prints what it counted; here they take turns, round by round, so that whatever else the machine
// does strikes all alike, and the medians are compared.
import Course
import Foundation

public struct ServerBench: Sendable {
    /// What can be measured, by the name on the command line.
    public enum Kind: String, CaseIterable, Sendable {
        case udp, tcp, select, epoll, pool, async, websocket, http, chat
        /// Not a race: thousands of connections at once, and not a byte lost.
        case crowd
    }

    public struct Row: Codable, Equatable, Sendable {
        public var bench: String
        /// `C`, `reference`, or `nginx`.
        public var server: String
        /// Median of the rounds. A second is one that other programs left to server and load.
        public var messagesPerSecond: Double
        /// Medians of the rounds, in microseconds, from sending a request until the last byte of its answer.
        public var p50: Double
        public var p99: Double
        /// Rate over the rate of C in the same round: the median, the lowest and the highest.
        public var ratio: Double
        public var lowest: Double
        public var highest: Double
        /// What the ratio should be at least; nil if nothing is asked of this one.
        public var least: Double?
        public var isEnough: Bool { ratio >= (least ?? 0) }

        public init(
            bench: String, server: String, messagesPerSecond: Double, p50: Double, p99: Double, ratio: Double,
            lowest: Double, highest: Double, least: Double?
        ) {
            self.bench = bench
            self.server = server
            self.messagesPerSecond = messagesPerSecond
            self.p50 = p50
            self.p99 = p99
            self.ratio = ratio
            self.lowest = lowest
            self.highest = highest
            self.least = least
        }
    }

    public struct Crowd: Codable, Equatable, Sendable {
        public var connections: Int
        /// All of them answered, with the right bytes.
        public var messages: Int
        public var seconds: Double
        /// The most memory that the server ever had, in kB.
        public var serverMemory: Int

        public init(connections: Int, messages: Int, seconds: Double, serverMemory: Int) {
            self.connections = connections
            self.messages = messages
            self.seconds = seconds
            self.serverMemory = serverMemory
        }
    }

    public struct Result: Codable, Equatable, Sendable {
        public var rounds: Int
        public var rows: [Row] = []
        public var crowd: Crowd?
        /// The part of the CPU's time that went to other programs, the median of all runs. It is not counted.
        public var others = 0.0

        public var isEnough: Bool { rows.allSatisfy(\.isEnough) }

        public init(rounds: Int) { self.rounds = rounds }
    }

    public static let connections = 64
    /// Bytes of a message, and of the file over HTTP.
    public static let messageSize = 64
    public static let fileSize = 1024

    let workspace: Workspace

    public init(_ workspace: Workspace) { self.workspace = workspace }

    /// - Parameter stage: called before each part.
    public func run(_ kinds: Set<Kind>, rounds: Int, stage: @escaping (String) -> Void) throws(CommandError) -> Result {
        try build(stage)
        let folder = try servedFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        var result = Result(rounds: rounds)
        var others: [Double] = []
        for race in races(kinds, folder: folder.path) {
            var samples: [[Sample]] = []
            for round in 1...rounds {
                stage(say("\(race.title): round \(round) of \(rounds)", "\(race.title)：第 \(round)/\(rounds) 轮"))
                var sampled: [Sample] = []
                for runner in race.runners { sampled.append(try measure(race.load + runner.options, runner.command)) }
                samples.append(sampled)
            }
            result.rows += rows(race, samples)
            others += samples.joined().map(\.others)
        }
        if kinds.contains(.crowd) {
            stage(say("\(crowdSize) connections", "\(crowdSize) 个连接"))
            result.crowd = try crowd()
        }
        result.others = median(others)
        return result
    }

    // MARK: Who runs against whom

    private struct Runner {
        var bench: Kind
        var server: String
        var command: [String]
        var options: [String] = []
        var least: Double?
    }

    /// Servers that do the same work; the first is C.
    private struct Race {
        var title: String
        var load: [String]
        var runners: [Runner]
    }

    private func races(_ kinds: Set<Kind>, folder: String) -> [Race] {
        var races: [Race] = []
        func add(_ title: String, _ load: [String], yardstick: String, _ runners: [Runner]) {
            guard let first = runners.first else { return }
            let size = first.bench == .http ? ServerBench.fileSize : ServerBench.messageSize
            let common = ["--connections", "\(ServerBench.connections)", "--size", "\(size)"]
            let c = Runner(bench: first.bench, server: "C", command: [program("Yardstick"), yardstick])
            races.append(Race(title: title, load: load + common, runners: [c] + runners))
        }
        func reference(_ kind: Kind, least: Double?, _ more: [String] = []) -> [Runner] {
            guard kinds.contains(kind) else { return [] }
            return [
                Runner(
                    bench: kind, server: "reference", command: [program("BenchServer"), kind.rawValue] + more,
                    least: least)
            ]
        }
        add("UDP", ["udp"], yardstick: "udp", reference(.udp, least: 0.95))
        add(
            "TCP", ["tcp"], yardstick: "epoll",
            reference(.tcp, least: nil) + reference(.select, least: nil) + reference(.epoll, least: 0.95)
                + reference(.pool, least: nil) + reference(.async, least: nil))
        add("WebSocket", ["websocket"], yardstick: "websocket", reference(.websocket, least: 0.85))
        // At least as fast as nginx in this very run: that is known only when it has been measured.
        var files = reference(.http, least: nil, [folder])
        if !files.isEmpty, let nginx = nginx() {
            files.insert(Runner(bench: .http, server: "nginx", command: [nginx], options: ["--nginx", folder]), at: 0)
        }
        add("HTTP", ["http"], yardstick: "http", files)
        add(say("chat room", "聊天室"), ["chat"], yardstick: "chat", reference(.chat, least: nil))
        return races
    }

    /// Where Debian and Homebrew put it; it need not be in a student's PATH.
    private func nginx() -> String? {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/local/sbin"]
        return folders.map { $0 + "/nginx" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    private func rows(_ race: Race, _ samples: [[Sample]]) -> [Row] {
        var rows = race.runners.enumerated().map { index, runner in
            let own = samples.map { $0[index] }
            let ratios = samples.map { $0[index].rate / $0[0].rate }
            return Row(
                bench: runner.bench.rawValue, server: runner.server, messagesPerSecond: median(own.map(\.rate)),
                p50: median(own.map(\.p50)) / 1000, p99: median(own.map(\.p99)) / 1000, ratio: median(ratios),
                lowest: ratios.min() ?? 0, highest: ratios.max() ?? 0, least: runner.least)
        }
        let nginx = rows.first { $0.server == "nginx" }
        for index in rows.indices where rows[index].bench == Kind.http.rawValue && rows[index].server == "reference" {
            rows[index].least = nginx?.ratio
        }
        return rows
    }

    // MARK: Programs

    private var scratch: URL { workspace.state.appendingPathComponent("bench-servers") }

    private func program(_ name: String) -> String { scratch.appendingPathComponent("release/\(name)").path }

    private func build(_ stage: @escaping (String) -> Void) throws(CommandError) {
        for name in ["BenchLoad", "Yardstick", "BenchServer"] {
            let title = say("building \(name) for release", "正在编译 \(name)（release）")
            stage(title)
            let result = try Subprocess.run(
                "swift",
                [
                    "build", "--package-path", workspace.root.path, "--scratch-path", scratch.path, "-c", "release",
                    "--product", name,
                ],
                mergesErrors: true, environment: Build.environment()
            ) { line in
                // "[12/345] Compiling …"
                if line.hasPrefix("["), let end = line.firstIndex(of: "]") { stage("\(title) \(line[...end])") }
            }
            guard result.succeeded else {
                throw .failure(say("\(name) could not be built:", "\(name) 编译失败：") + "\n" + result.output)
            }
        }
    }

    /// With the file that is asked for.
    private func servedFolder() throws(CommandError) -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID().uuidString)")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(repeating: UInt8(ascii: "x"), count: ServerBench.fileSize)
                .write(to: folder.appendingPathComponent("file"))
        } catch {
            throw .failure(
                say("\(folder.path) cannot be made: \(reason(error)).", "建不了 \(folder.path)：\(reason(error))。"))
        }
        return folder
    }

    /// What `BenchLoad` prints.
    private struct Sample: Decodable {
        var counted: Int
        var verified: Int
        var seconds: Double
        /// In nanoseconds.
        var p50: Double
        var p99: Double
        var others: Double
        var memory: Int

        /// A second that another program had is not one of ours.
        var rate: Double { Double(counted) / max(seconds * (1 - others), 1e-9) }
    }

    private func measure(_ load: [String], _ server: [String]) throws(CommandError) -> Sample {
        let result = try Subprocess.run(program("BenchLoad"), load + ["--"] + server)
        guard result.succeeded else {
            let command = (load + ["--"] + server).joined(separator: " ")
            throw CommandError(
                .notPassed,
                say("BenchLoad \(command) ended with \(result.status):", "BenchLoad \(command) 以 \(result.status) 结束：")
                    + "\n" + result.errors)
        }
        guard let sample = try? JSONDecoder().decode(Sample.self, from: Data(result.output.utf8)) else {
            throw .failure(say("BenchLoad printed no result:", "BenchLoad 没有输出结果：") + "\n" + result.output)
        }
        return sample
    }

    // MARK: The crowd

    private let crowdSize = 5000

    private func crowd() throws(CommandError) -> Crowd {
        let sample = try measure(
            ["tcp", "--connections", "\(crowdSize)", "--messages", "20", "--size", "2000", "--varied"],
            [program("BenchServer"), "epoll"])
        return Crowd(
            connections: crowdSize, messages: sample.verified, seconds: sample.seconds, serverMemory: sample.memory)
    }
}
