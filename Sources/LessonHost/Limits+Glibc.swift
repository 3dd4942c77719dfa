// setrlimit(2): Glibc types the resource as an enum, Darwin as Int32.
#if canImport(Glibc)
import Glibc

/// The process may have `most` of a resource, or less, where the system gives it less.
func limit(_ resource: __rlimit_resource, to most: UInt) {
    let number = __rlimit_resource_t(resource.rawValue)
    var limits = rlimit()
    getrlimit(number, &limits)
    limits.rlim_max = min(rlim_t(most), limits.rlim_max)
    limits.rlim_cur = limits.rlim_max
    setrlimit(number, &limits)
}
#endif
