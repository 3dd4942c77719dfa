// Glibc's posix_spawn types are structs, Darwin's are pointers. Not run on macOS yet.
#if canImport(Darwin)
import Darwin

var emptyFileActions: posix_spawn_file_actions_t? { nil }
var emptySpawnAttributes: posix_spawnattr_t? { nil }
#endif
