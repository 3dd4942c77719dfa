// Not run on macOS yet.
#if canImport(Darwin)
import Foundation

/// The file that this process runs, symbolic links resolved.
public func executablePath() -> String? { Bundle.main.executableURL?.resolvingSymlinksInPath().path }
#endif
