// `import Sockets` brings the system's own calls along, so a lesson's file needs no other import.
#if canImport(Glibc)
@_exported import CSockets
@_exported import Glibc
@_exported import SocketConstants
#endif
