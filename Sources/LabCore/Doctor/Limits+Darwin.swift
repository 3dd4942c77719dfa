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

/// From now on this process and its children may have so many descriptors open: 0, or -1 and errno.
public func limitDescriptors(to count: Int) -> Int32 {
    var limit = rlimit(rlim_cur: rlim_t(count), rlim_max: rlim_t(count))
    return setrlimit(RLIMIT_NOFILE, &limit)
}
#endif
