// `lab` alone: the walk on a terminal, an overview elsewhere.
import Course
import Foundation
import LabCore

func start(_ invocation: Invocation) throws -> ExitCode {
    let console = invocation.console
    let workspace = try invocation.workspace()
    let catalogue = try workspace.catalogue()
    if console.isTerminal, console.inputIsTerminal, ProcessInfo.processInfo.environment["TERM"] != "dumb",
        let walk = try Walk(invocation, workspace, catalogue)
    {
        try walk.walk()
        return .success
    }
    let progress = invocation.progress(workspace)
    let text = ListText(catalogue: catalogue, workspace: workspace, progress: progress, width: console.width)
    console.print(text.overview())
    return .success
}
