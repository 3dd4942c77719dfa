// The report of a mistake as it is kept in the bank, to be read: the student's words and layout, with what differs from
// run to run (ports, times, process numbers) made the same.
import Course
import Foundation
import GraderKit

enum GoldenReport {
    /// The report of a verdict, 80 columns wide, in the current language.
    static func text(_ verdict: Verdict, _ catalogue: Catalogue, _ place: Workspace) -> String {
        var verdict = verdict
        var ports = Ports()
        if let report = verdict.report {
            verdict.report?.expected = normalised(report.expected, &ports)
            verdict.report?.got = normalised(report.got, &ports)
            verdict.report?.difference = report.difference.map { normalised($0, &ports) }
            verdict.report?.calls = report.calls.map { normalised($0, &ports) }
            // Compiled beside the bank, the file is the student's all the same.
            if let file = report.crash?.file, let folder = file.range(of: "Exercises/", options: .backwards) {
                verdict.report?.crash?.file = String(file[folder.lowerBound...])
            }
            verdict.report?.detail = report.detail.map { normalised($0, &ports) }
        }
        let lines = VerdictText(catalogue: catalogue, workspace: place, width: 80).lines(verdict)
        return lines.map(\.plain).map(trimmedAtEnd).joined(separator: "\n") + "\n"
    }

    /// The name of a program's report in a language.
    static func name(_ language: Language) -> String {
        language == .chinese ? "report.zh-Hans.txt" : "report.txt"
    }

    private static func trimmedAtEnd(_ line: String) -> String {
        String(line.reversed().drop { $0 == " " }.reversed())
    }

    /// Ports by the order in which they are named: 50001, 50002 …
    private struct Ports {
        var known: [Substring: Int] = [:]

        mutating func replacement(_ port: Substring) -> String {
            let number = known[port] ?? 50_001 + known.count
            known[port] = number
            return "\(number)"
        }
    }

    private static func normalised(_ text: String, _ ports: inout Ports) -> String {
        var text = text
        for match in text.matches(of: #/(?<before>(?:\d|\]):|port |端口 )(?<port>\d{4,5})\b/#).reversed() {
            text.replaceSubrange(match.range, with: match.output.before + ports.replacement(match.output.port))
        }
        text.replace(#/\b\d+\.\d (?=s\b|秒)/#) { _ in "1.0 " }
        text.replace(#/(?<call>(?:fork\(\)|waitpid\([^)]*\)) = )\d{2,}/#) { "\($0.output.call)1001" }
        text.replace(#/^(?<dots>… |……前面和中间还有 )\d+/#) { "\($0.output.dots)9" }
        return text
    }
}
