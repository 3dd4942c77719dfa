// Tells when a file of a folder was saved: kqueue(2) on the folders and their files. Not run on macOS yet.
#if canImport(Darwin)
import Course
import Foundation
import Sockets

public final class FileWatch {
    /// Readable when there is news: for poll(2).
    public let descriptor: Int32
    private let folders: [URL]
    private var open: [String: Int32] = [:]
    private var times: [URL: Date] = [:]

    public init(_ folders: [URL]) throws(CommandError) {
        descriptor = kqueue()
        guard descriptor >= 0 else { throw .failure("kqueue: \(errorText(errno))") }
        self.folders = folders
        for folder in folders { watch(folder.path) }
        times = modified()
    }

    deinit {
        for file in open.values { close(file) }
        close(descriptor)
    }

    /// The files saved since the last call; does not wait.
    public func saved() -> Set<URL> {
        var events = [kevent](repeating: kevent(), count: 64)
        var none = timespec()
        while Sockets.kevent(descriptor, nil, 0, &events, Int32(events.count), &none) > 0 {}
        let before = times
        times = modified()
        return Set(times.filter { before[$0.key] != $0.value }.keys)
    }

    private func modified() -> [URL: Date] {
        var found: [URL: Date] = [:]
        for folder in folders {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? [] {
                let file = folder.appendingPathComponent(name)
                let attributes = try? FileManager.default.attributesOfItem(atPath: file.path)
                guard let time = attributes?[.modificationDate] as? Date else { continue }
                found[file] = time
                // A file that was renamed into place is another file: watch it anew.
                if times[file] != time { watch(file.path) }
            }
        }
        return found
    }

    private func watch(_ path: String) {
        if let old = open[path] { close(old) }
        let file = Sockets.open(path, O_EVTONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        open[path] = file
        var change = kevent(
            ident: UInt(file), filter: Int16(EVFILT_VNODE), flags: UInt16(EV_ADD | EV_CLEAR),
            fflags: UInt32(NOTE_WRITE | NOTE_EXTEND | NOTE_RENAME | NOTE_DELETE), data: 0, udata: nil)
        _ = Sockets.kevent(descriptor, &change, 1, nil, 0, nil)
    }
}
#endif
