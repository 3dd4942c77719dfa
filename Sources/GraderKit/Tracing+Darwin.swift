// macOS lets only root and debuggers that it knows trace other processes. Not run there yet.
#if canImport(Darwin)
let tracingIsForbidden = true
#endif
