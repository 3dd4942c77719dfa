// One folder for all that a run makes in passing, so that one removal takes it all away, after Ctrl-C too.
import Foundation
import Sockets

public enum TemporaryFolder {
    /// What `TMPDIR` was.
    nonisolated(unsafe) static private(set) var before: String? = getenv("TMPDIR").map { String(cString: $0) }

    /// Lets `TMPDIR` be a folder of this process's own from now on. Call it before other threads start.
    ///
    /// - Returns: call it at the end: removes the folder and what is in it.
    public static func install() -> @Sendable () -> Void {
        var template = Array((FileManager.default.temporaryDirectory.path + "/lab-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { return {} }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        before = getenv("TMPDIR").map { String(cString: $0) }
        setenv("TMPDIR", folder, 1)
        Interrupts.add(folder: folder)
        return {
            Interrupts.remove(folder: folder)
            try? FileManager.default.removeItem(atPath: folder)
        }
    }
}
