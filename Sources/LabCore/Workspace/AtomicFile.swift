// A file is there whole, or not at all: written beside its place and renamed into it (rename(2)).
import Course
import Foundation
import Sockets

/// Replaces `file` by `content`. A reader sees the old file or the new one; an interrupted program leaves the old one.
public func writeAtomically(_ content: Data, to file: URL) throws(CommandError) {
    do {
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    } catch { throw cannotWrite(file, error) }
    let temporary = file.deletingLastPathComponent()
        .appendingPathComponent(".\(file.lastPathComponent).\(getpid()).temporary")
    // An interrupt waits until the temporary file is gone.
    try Interrupts.held { () throws(CommandError) in
        do { try content.write(to: temporary) } catch {
            unlink(temporary.path)
            throw cannotWrite(file, error)
        }
        guard rename(temporary.path, file.path) == 0 else {
            let code = errno
            unlink(temporary.path)
            throw cannotWrite(file, SocketError("rename", code))
        }
    }
}

private func cannotWrite(_ file: URL, _ error: any Error) -> CommandError {
    .failure(
        say("\(file.path) cannot be written: \(reason(error))", "写不了 \(file.path)：\(reason(error))"))
}

/// The system's own words, without Foundation's wrapping.
func reason(_ error: any Error) -> String {
    let error = error as NSError
    if let inner = error.userInfo[NSUnderlyingErrorKey] as? NSError, inner.domain == NSPOSIXErrorDomain {
        return errorText(Int32(inner.code))
    }
    if error.domain == NSPOSIXErrorDomain { return errorText(Int32(error.code)) }
    return (error as? SocketError).map { errorText($0.code) } ?? error.localizedDescription
}
