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

/// From now on this process and its children may have so many descriptors open: 0, or -1 and errno.
public func limitDescriptors(to count: Int) -> Int32 {
    var limit = rlimit(rlim_cur: rlim_t(count), rlim_max: rlim_t(count))
    return setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
#endif
