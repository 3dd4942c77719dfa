// Not run on macOS yet.
#if canImport(Darwin)
import Sockets

/// When a file's content was last changed, in seconds since 1970 (stat(2)).
func modificationTime(_ status: stat) -> Int { Int(status.st_mtimespec.tv_sec) }
#endif
