// Not counted there.
#if canImport(Darwin)
func receivedSegments(of connection: Int32) -> Int? { nil }
#endif
