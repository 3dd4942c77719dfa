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
                "Progress is kept in .lab/progress.json, a file that you may read, copy and delete; nothing is sent "
                + "anywhere. Points count for checks that passed the last time they ran. A mistake that you met more than "
                + "once is named, with what to read again. Time at work leaves out pauses of over 15 minutes.",
            zh: "进度保存在 .lab/progress.json，可以查看、复制和删除，不会发往任何地方。最近一次运行通过的检查才计分。遇到过不止一次的错误会列出来，"
                + "并指出该重读哪一节。超过 15 分钟的停顿不算进用时。"),
        options: [OptionSpecification("--json", "as JSON", "以 JSON 输出")],
        examples: [Example("lab progress", "points, time, mistakes met, and what is next", "得分、用时、遇到过的错误和下一步")],
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
        invocation.console.print(text.overview() + text.memories())
        return .success
    }
}
