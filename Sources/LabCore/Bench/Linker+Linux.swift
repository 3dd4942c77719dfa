#if os(Linux)
/// A shared library may lack symbols until it is loaded.
let missingSymbolsAllowed: [String] = []
#endif
