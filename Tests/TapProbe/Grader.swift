// This program as a grader: it starts itself as a lesson process, says which processes there are, and waits to be killed.
import Course
import Foundation
import GraderKit
import Sockets

func grade(_ way: String) -> Never {
    let probe = Program(executable: Program.products.appendingPathComponent("TapProbe").path, arguments: [])
    let check = Check("wait") { trial in
        let left = try trial.call("leave-descendants", .string(way))
        let subject = try trial.launch()
        let busy = try trial.begin("spin", [], in: subject)
        _ = try trial.begin("pid", [], in: subject)
        guard case .list(let numbers) = left else { return }
        print((numbers.map(\.text) + ["\(subject.processNumber)"]).joined(separator: " "))
        fflush(nil)
        withExtendedLifetime(busy) { while true { pause() } }
    }
    _ = Judge { _ in probe }.judge(check, of: "00-probe")
    exit(1)
}
