// macOS lets no program choose its CPU.
#if canImport(Darwin)
enum OneCPU {
    static func hold() -> () -> Void { {} }
}
#endif
