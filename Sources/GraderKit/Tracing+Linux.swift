// The grader's memory is not the program's to write.
#if os(Linux)
import Foundation
import Sockets

/// Before the first program runs. Not where the lab starts a grader on its own references: there a debugger may ask a
/// grader that hangs for its stacks.
let tracingIsForbidden: Bool =
    ProcessInfo.processInfo.environment["LAB_INSPECTABLE"] == nil && processForbidTracing() == 0
#endif
