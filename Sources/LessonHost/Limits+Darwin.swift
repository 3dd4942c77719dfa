// setrlimit(2): Glibc types the resource as an enum, Darwin as Int32. Not run on macOS yet.
#if canImport(Darwin)
import Darwin

func limit(_ resource: Int32, to most: UInt) {
    var limits = rlimit()
    getrlimit(resource, &limits)
    limits.rlim_max = min(rlim_t(most), limits.rlim_max)
    limits.rlim_cur = min(rlim_t(most), limits.rlim_cur)
    setrlimit(resource, &limits)
}
#endif
