#if canImport(Glibc)
import Glibc

/// Nanoseconds since 1970.
func modificationTime(_ status: stat) -> Int { status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec }
#endif
