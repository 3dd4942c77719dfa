import Course
import Foundation
import GraderKit
import Graders

if CommandLine.arguments.dropFirst().first == "host" { host(CommandLine.arguments.dropFirst(2)) }
let slug = CommandLine.arguments[1]
let judge = Judge { slug in
    CommandLine.arguments.contains("--solution")
        ? .solution(slug, products: Program.products) : .exercise(slug, products: Program.products)
}
judge.judge(grader(of: slug)!.checks, of: slug) { verdict in
    print(verdict.status, verdict.check, verdict.seconds, verdict.reason ?? "", verdict.place.map { "\($0)" } ?? "")
    if CommandLine.arguments.contains("--trace") {
        for line in verdict.trace { print("   ", line.at, line.side, line.text) }
    }
    if let r = verdict.report {
        print(r.expected, "|", r.got, "|", r.cause ?? "-", "|", r.detail ?? "-");
        print(r.calls.joined(separator: "\n")); print(r.difference.joined(separator: "\n")); print(r.crash ?? "")
    }
    if let o = verdict.output { print(o) }
}
