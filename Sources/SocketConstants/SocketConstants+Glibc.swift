// The constants of <sys/socket.h> with the type that the socket calls take.
//
// Glibc imports SOCK_STREAM as an enum and MSG_NOSIGNAL as an Int, so `socket(AF_INET, SOCK_STREAM, 0)` would not
// compile. These twins make the calls read as they do in the man pages, and the same on Linux and macOS. They are
// disfavoured: where either would do, the compiler takes Glibc's own, so `Int32(SOCK_STREAM.rawValue)` still works
// for those who know it. (A module of its own: declared in Sockets they would hide Glibc's instead.)
#if canImport(Glibc)
import Glibc

@_disfavoredOverload public var SOCK_STREAM: Int32 { Int32(Glibc.SOCK_STREAM.rawValue) }
@_disfavoredOverload public var SOCK_DGRAM: Int32 { Int32(Glibc.SOCK_DGRAM.rawValue) }
@_disfavoredOverload public var SOCK_RAW: Int32 { Int32(Glibc.SOCK_RAW.rawValue) }
@_disfavoredOverload public var SOCK_SEQPACKET: Int32 { Int32(Glibc.SOCK_SEQPACKET.rawValue) }
@_disfavoredOverload public var SOCK_NONBLOCK: Int32 { Int32(Glibc.SOCK_NONBLOCK.rawValue) }
@_disfavoredOverload public var SOCK_CLOEXEC: Int32 { Int32(Glibc.SOCK_CLOEXEC.rawValue) }

@_disfavoredOverload public var MSG_PEEK: Int32 { Int32(Glibc.MSG_PEEK) }
@_disfavoredOverload public var MSG_DONTWAIT: Int32 { Int32(Glibc.MSG_DONTWAIT) }
@_disfavoredOverload public var MSG_WAITALL: Int32 { Int32(Glibc.MSG_WAITALL) }
@_disfavoredOverload public var MSG_NOSIGNAL: Int32 { Int32(Glibc.MSG_NOSIGNAL) }
@_disfavoredOverload public var MSG_MORE: Int32 { Int32(Glibc.MSG_MORE) }
@_disfavoredOverload public var MSG_TRUNC: Int32 { Int32(Glibc.MSG_TRUNC) }
@_disfavoredOverload public var MSG_ERRQUEUE: Int32 { Int32(Glibc.MSG_ERRQUEUE) }

@_disfavoredOverload public var MSG_CTRUNC: Int32 { Int32(Glibc.MSG_CTRUNC) }
@_disfavoredOverload public var MSG_CMSG_CLOEXEC: Int32 { Int32(Glibc.MSG_CMSG_CLOEXEC) }
@_disfavoredOverload public var SCM_RIGHTS: Int32 { Int32(Glibc.SCM_RIGHTS) }

@_disfavoredOverload public var SHUT_RD: Int32 { Int32(Glibc.SHUT_RD) }
@_disfavoredOverload public var SHUT_WR: Int32 { Int32(Glibc.SHUT_WR) }
@_disfavoredOverload public var SHUT_RDWR: Int32 { Int32(Glibc.SHUT_RDWR) }

@_disfavoredOverload public var IPPROTO_IP: Int32 { Int32(Glibc.IPPROTO_IP) }
@_disfavoredOverload public var IPPROTO_IPV6: Int32 { Int32(Glibc.IPPROTO_IPV6) }
@_disfavoredOverload public var IPPROTO_ICMP: Int32 { Int32(Glibc.IPPROTO_ICMP) }
@_disfavoredOverload public var IPPROTO_TCP: Int32 { Int32(Glibc.IPPROTO_TCP) }
@_disfavoredOverload public var IPPROTO_UDP: Int32 { Int32(Glibc.IPPROTO_UDP) }
#endif
