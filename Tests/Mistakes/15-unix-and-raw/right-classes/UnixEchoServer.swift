import Course
import Foundation
import Sockets

/// Classes that are closed by hand; select for two descriptors; recvmsg and sendmsg.
private final class Door {
    let descriptor: Int32
    let path: String
    private var isMine = false

    init(at path: String) throws {
        let address = try SocketAddress(unixPath: path)
        self.path = path
        descriptor = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
        do {
            try Door.makeRoom(at: path, for: address)
            try check("bind", address.withSockaddr { bind(descriptor, $0, $1) })
            isMine = true
            try check("chmod", chmod(path, 0o600))
            try check("fcntl", fcntl(descriptor, F_SETFL, O_NONBLOCK))
            try check("listen", listen(descriptor, 100))
        } catch {
            shut()
            throw error
        }
    }

    func shut() {
        close(descriptor)
        if isMine { unlink(path) }
        isMine = false
    }

    private static func makeRoom(at path: String, for address: SocketAddress) throws {
        var status = stat()
        if lstat(path, &status) != 0 { return }
        let taken = SocketError("bind", EADDRINUSE)
        if status.st_mode & S_IFMT != S_IFSOCK { throw taken }
        let knock = try check("socket", socket(AF_UNIX, SOCK_STREAM, 0))
        defer { close(knock) }
        var on: Int32 = 1
        try check("ioctl", ioctl(knock, UInt(FIONBIO), &on))
        while address.withSockaddr({ connect(knock, $0, $1) }) != 0 {
            switch errno {
            case EINTR: continue
            case ECONNREFUSED:
                if unlink(path) != 0 && errno != ENOENT { throw SocketError("unlink", errno) }
                return
            default: throw taken
            }
        }
        throw taken
    }
}

private struct Stopped: Error {}

func unixEchoServer(path: String, stop: Int32) throws {
    let door = try Door(at: path)
    defer { door.shut() }
    do {
        while true {
            try await2(door.descriptor, stop: stop)
            let client = accept(door.descriptor, nil, nil)
            if client >= 0 {
                defer { close(client) }
                try talk(client, stop: stop)
            } else if errno != EINTR && errno != EAGAIN && errno != ECONNABORTED {
                throw SocketError("accept", errno)
            }
        }
    } catch is Stopped {}
}

private func talk(_ client: Int32, stop: Int32) throws {
    let room = UnsafeMutableRawPointer.allocate(byteCount: 20_000, alignment: 16)
    defer { room.deallocate() }
    while true {
        try await2(client, stop: stop)
        var left = transfer(room, 20_000) { recvmsg(client, $0, MSG_DONTWAIT) }
        if left < 0 && (errno == EINTR || errno == EAGAIN) { continue }
        if left <= 0 { return }
        var from = room
        while left > 0 {
            try await2(client, writing: true, stop: stop)
            let count = transfer(from, left) { sendmsg(client, $0, MSG_DONTWAIT | MSG_NOSIGNAL) }
            if count >= 0 {
                from += count
                left -= count
            } else if errno != EINTR && errno != EAGAIN {
                return
            }
        }
    }
}

/// One part of a message.
func transfer(_ base: UnsafeMutableRawPointer, _ count: Int, _ call: (UnsafeMutablePointer<msghdr>) -> Int) -> Int {
    var part = iovec(iov_base: base, iov_len: count)
    return withUnsafeMutablePointer(to: &part) { part in
        var message = msghdr()
        message.msg_iov = part
        message.msg_iovlen = 1
        return call(&message)
    }
}

private func await2(_ descriptor: Int32, writing: Bool = false, stop: Int32) throws {
    guard max(descriptor, stop) < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    while true {
        var r = fd_set()
        var w = fd_set()
        fdZero(&r)
        fdZero(&w)
        fdSet(stop, &r)
        if writing { fdSet(descriptor, &w) } else { fdSet(descriptor, &r) }
        let count = select(max(descriptor, stop) + 1, &r, &w, nil, nil)
        if count < 0 && errno != EINTR { throw SocketError("select", errno) }
        if count <= 0 { continue }
        if fdIsSet(stop, &r) != 0 { throw Stopped() }
        return
    }
}
