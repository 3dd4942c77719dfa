// Tells when a file of a folder was saved: inotify(7).
#if os(Linux)
import Course
import Foundation
import Sockets

public final class FileWatch {
    /// Readable when there is news: for poll(2).
    public let descriptor: Int32
    private var folders: [Int32: URL] = [:]

    /// - Throws: if a folder is not there, or the machine's watches are used up.
    public init(_ folders: [URL]) throws(CommandError) {
        descriptor = inotify_init1(Int32(O_CLOEXEC | O_NONBLOCK))
        guard descriptor >= 0 else { throw FileWatch.failure("inotify_init1", errno) }
        for folder in folders {
            // An editor either writes the file itself, or writes another and renames it into place.
            let watch = inotify_add_watch(descriptor, folder.path, UInt32(IN_CLOSE_WRITE | IN_MOVED_TO))
            guard watch >= 0 else {
                let code = errno
                close(descriptor)
                throw FileWatch.failure(folder.path, code)
            }
            self.folders[watch] = folder
        }
    }

    deinit { close(descriptor) }

    /// The files saved since the last call; does not wait.
    public func saved() -> Set<URL> {
        var files: Set<URL> = []
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return files }
            var start = 0
            let header = MemoryLayout<inotify_event>.size
            while start + header <= count {
                let event = buffer.withUnsafeBytes {
                    $0.loadUnaligned(fromByteOffset: start, as: inotify_event.self)
                }
                let end = start + header + Int(event.len)
                let name = String(decoding: buffer[(start + header)..<end].prefix { $0 != 0 }, as: UTF8.self)
                if let folder = folders[event.wd], !name.isEmpty { files.insert(folder.appendingPathComponent(name)) }
                start = end
            }
        }
    }

    private static func failure(_ what: String, _ code: Int32) -> CommandError {
        var message = say("\(what) cannot be watched: \(errorText(code)).", "监视不了 \(what)：\(errorText(code))。")
        if code == ENOSPC || code == EMFILE {
            message += say(
                " Other programs use up the system's watches: raise fs.inotify.max_user_watches.",
                "系统的监视名额被其他程序用完了：请调大 fs.inotify.max_user_watches。")
        }
        return .failure(message)
    }
}
#endif
