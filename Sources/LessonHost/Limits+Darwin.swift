// setrlimit(2): Glibc types the resource as an enum, Darwin as Int32. Not run on macOS yet.
#if canImport(Darwin)
import Darwin

/// The process may have `most` of a resource, or less, where the system gives it less.
func limit(_ resource: Int32, to most: UInt) {
    var limits = rlimit()
    getrlimit(resource, &limits)
    limits.rlim_max = min(rlim_t(most), limits.rlim_max)
    limits.rlim_cur = limits.rlim_max
    setrlimit(resource, &limits)
}
#endif
