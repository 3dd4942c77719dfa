// Not run on macOS yet.
#if canImport(Darwin)
import Darwin

/// Nanoseconds since 1970.
func modificationTime(_ status: stat) -> Int {
    status.st_mtimespec.tv_sec * 1_000_000_000 + status.st_mtimespec.tv_nsec
}
#endif
