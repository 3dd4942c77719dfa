import Sockets

final class Folder {
    private let descriptor: Int32

    init(_ path: String) throws {
        descriptor = try check("open(\(path))", open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
    }

    deinit { close(descriptor) }

    enum Found {
        case file(OpenFile)
        case folder
        case nothing
        case forbidden
        /// No descriptor is left for it now.
        case noRoom
    }

    /// - Parameter names: from the root down; none of them is `..` or has a slash.
    func find(_ names: [String]) -> Found {
        guard let last = names.last else { return .folder }
        var folder = descriptor
        defer { if folder != descriptor { close(folder) } }
        for name in names.dropLast() {
            let next = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            guard next >= 0 else { return Folder.whyNot(errno) }
            folder = next
        }
        // Nonblocking: to open a named pipe would wait for somebody to write to it.
        let found = openat(folder, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard found >= 0 else { return Folder.whyNot(errno) }
        var status = stat()
        guard fstat(found, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(found)
            return status.st_mode & S_IFMT == S_IFDIR ? .folder : .nothing
        }
        return .file(OpenFile(descriptor: found, status: status))
    }

    private static func whyNot(_ code: Int32) -> Found {
        switch code {
        case EACCES, EPERM: return .forbidden
        case EMFILE, ENFILE, ENOMEM: return .noRoom
        // ENOENT, ENOTDIR, ENAMETOOLONG, and ELOOP for a link.
        default: return .nothing
        }
    }
}
