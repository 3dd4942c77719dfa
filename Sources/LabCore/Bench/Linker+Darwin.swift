// Not run on macOS yet.
#if canImport(Darwin)
/// A shared library may lack symbols until it is loaded, if the linker is told so.
let missingSymbolsAllowed = ["-Xlinker", "-undefined", "-Xlinker", "dynamic_lookup"]
#endif
