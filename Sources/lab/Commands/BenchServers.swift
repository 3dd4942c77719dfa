// `lab bench`, `lab bench udp`: the reference servers beside plain C.
import Course
import Foundation
import LabCore

extension Command {
    static func benchServers(_ invocation: Invocation, rounds: Int) throws -> ExitCode {
        let kinds = try invocation.words.map { try kind($0) }
        let activity = Activity(invocation.console)
        defer { activity.end() }
        let chosen = kinds.isEmpty ? Set(ServerBench.Kind.allCases) : Set(kinds)
        let result = try ServerBench(try invocation.workspace()).run(chosen, rounds: rounds) { activity.now($0) }
        activity.end()
        if invocation.has("--json") {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            invocation.console.print(String(decoding: try encoder.encode(result), as: UTF8.self))
        } else {
            invocation.console.print(BenchText(result: result, width: invocation.console.width).lines)
        }
        return result.isEnough ? .success : .notPassed
    }

    private static func kind(_ word: String) throws(CommandError) -> ServerBench.Kind {
        if let kind = ServerBench.Kind(rawValue: word) { return kind }
        let names = ServerBench.Kind.allCases.map(\.rawValue) + ["edit"]
        throw .usage(
            say("There is no bench \(word).", "没有名为 \(word) 的测量。")
                + (nearest(to: word, among: names).map {
                    say(" Did you mean `lab bench \($0)`?", "是不是想用 `lab bench \($0)`？")
                } ?? say(" There are: ", "可选：") + names.joined(separator: " ")))
    }
}
