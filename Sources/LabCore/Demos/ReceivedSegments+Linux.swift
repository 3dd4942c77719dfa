// How many packets with data a connection has received: tcp(7), TCP_INFO.
#if os(Linux)
import Sockets

/// Nil if the kernel does not count them (before 4.6).
func receivedSegments(of connection: Int32) -> Int? {
    // libc's struct tcp_info is older than this field: where it stands is in the kernel's <linux/tcp.h>.
    let place = 152
    var info = [UInt8](repeating: 0, count: 256)
    var size = socklen_t(info.count)
    guard getsockopt(connection, IPPROTO_TCP, Int32(TCP_INFO), &info, &size) == 0, Int(size) >= place + 4 else {
        return nil
    }
    return info.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: place, as: UInt32.self)) }
}
#endif
