// getrlimit(2): Glibc types the resource as an enum, Darwin as Int32. Not run on macOS yet.
#if canImport(Darwin)
import Darwin

extension Probe {
    static func descriptorLimit() -> (soft: UInt, hard: UInt) {
        var limits = rlimit()
        getrlimit(RLIMIT_NOFILE, &limits)
        return (UInt(limits.rlim_cur), UInt(limits.rlim_max))
    }
}
#endif
