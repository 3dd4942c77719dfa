import Course
import Foundation
import LabCore

extension Command {
    static let progress = Command(
        name: "progress",
        usage: ["[--json]"],
        summary: Text(en: "how far you are", zh: "你的进度"),
        details: Text(
            en:
                "Progress is kept in .lab/progress.json, a file that you may read, copy and delete. Points count for checks "
                + "that passed the last time they ran.",
            zh: "进度保存在 .lab/progress.json，可以查看、复制和删除。最近一次运行通过的检查才计分。"),
        options: [OptionSpecification("--json", "as JSON", "以 JSON 输出")],
        examples: [Example("lab progress", "points of every lesson, and what is next", "各课得分和下一步")],
        words: 0...0
    ) { invocation in
        let workspace = try invocation.workspace()
        let catalogue = try workspace.catalogue()
        let progress = invocation.progress(workspace)
        if invocation.has("--json") {
            let encoder = JSONEncoder()
            encoder.dateEncodingStrategy = .iso8601
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            invocation.console.print(String(decoding: try encoder.encode(progress), as: UTF8.self))
            return .success
        }
        let text = ListText(
            catalogue: catalogue, workspace: workspace, progress: progress, width: invocation.console.width)
        invocation.console.print(text.overview())
        return .success
    }
}
