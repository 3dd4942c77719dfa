// Glibc's posix_spawn types are structs, Darwin's are pointers.
#if canImport(Glibc)
import Glibc

var emptyFileActions: posix_spawn_file_actions_t { posix_spawn_file_actions_t() }
var emptySpawnAttributes: posix_spawnattr_t { posix_spawnattr_t() }
#endif
