// `import Sockets` brings the system's own calls along, so a lesson's file needs no other import.
// Not run on macOS yet.
#if canImport(Darwin)
@_exported import CSockets
@_exported import Darwin
@_exported import SocketConstants
#endif
