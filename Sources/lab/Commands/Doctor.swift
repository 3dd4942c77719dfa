import Course
import Foundation
import LabCore

extension Command {
    static let doctor = Command(
        name: "doctor",
        usage: ["[--json]"],
        summary: Text(en: "what this machine can and cannot do", zh: "检查这台机器能做什么、不能做什么"),
        details: Text(
            en:
                "Tries everything that the lessons need: the toolchain, limits, IPv6, broadcast, multicast, raw sockets. For "
                + "each that is missing it says what to do. Ends with 1 if the lab cannot work here.",
            zh: "逐一试验课程需要的东西：工具链、各种上限、IPv6、广播、组播、原始套接字。缺少的会说明怎么办。实验环境无法工作时退出码为 1。"),
        options: [OptionSpecification("--json", "one JSON object a finding", "每项结果一个 JSON 对象")],
        examples: [Example("lab doctor", "look at everything", "全部检查一遍")],
        words: 0...0
    ) { invocation in
        let console = invocation.console
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var worst = ExitCode.success
        var failure: (any Error)?
        Doctor(try invocation.workspace()).examine { finding in
            if finding.state == .bad { worst = .notPassed }
            guard invocation.has("--json") else { return console.print(lines(finding, console.width)) }
            do { console.print(String(decoding: try encoder.encode(finding), as: UTF8.self)) } catch { failure = error }
        }
        if let failure { throw failure }
        return worst
    }

    private static func lines(_ finding: Finding, _ width: Int) -> [StyledText] {
        let (mark, style): (String, Style)
        switch finding.state {
        case .good: (mark, style) = ("✔", .good)
        case .limited: (mark, style) = ("○", .waiting)
        case .bad: (mark, style) = ("✘", .bad)
        }
        let column = 16
        let start = (StyledText("\(mark) ", style) + StyledText(finding.subject)).padded(to: column)
        let found = StyledText(finding.found, finding.state == .good ? .quiet : .plain)
        var lines = (start + found).wrapped(to: width, hanging: column)
        if let advice = finding.advice {
            lines += StyledText(advice, .quiet).wrapped(to: width - column).map {
                StyledText(String(repeating: " ", count: column)) + $0
            }
        }
        return lines
    }
}
