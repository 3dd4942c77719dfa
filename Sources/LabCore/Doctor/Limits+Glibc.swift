// getrlimit(2): Glibc types the resource as an enum, Darwin as Int32.
#if canImport(Glibc)
import Glibc

extension Probe {
    static func descriptorLimit() -> (soft: UInt, hard: UInt) {
        var limits = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
        return (UInt(limits.rlim_cur), UInt(limits.rlim_max))
    }
}
#endif
