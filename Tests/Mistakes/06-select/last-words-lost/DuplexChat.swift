import Course
import Sockets

private let capacity = 8192

/// A piece of memory with bytes from `first` up to `last`.
private final class Trough {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    var first = 0
    var last = 0
    deinit { memory.deallocate() }

    var isEmpty: Bool { first == last }
    var free: Int { capacity - last }

    func tidy() {
        if first > 0 {
            memmove(memory, memory + first, last - first)
            last -= first
            first = 0
        }
    }
}

/// Both directions have a buffer of their own, and all four ends are asked for in one select.
func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let typed = Trough()
    let heard = Trough()
    var keyboardIsOpen = true
    var isHalfClosed = false
    let top = max(socket, max(input, output))
    guard top < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }

    func failed(_ call: String) throws {
        if errno != EINTR && errno != EAGAIN { throw SocketError(call, errno) }
    }

    while true {
        var readable = fd_set()
        var writable = fd_set()
        fdZero(&readable)
        fdZero(&writable)
        if keyboardIsOpen && typed.isEmpty { fdSet(input, &readable) }
        if heard.free > 0 { fdSet(socket, &readable) }
        if !typed.isEmpty { fdSet(socket, &writable) }
        if !heard.isEmpty { fdSet(output, &writable) }
        guard select(top + 1, &readable, &writable, nil, nil) >= 0 else {
            try failed("select")
            continue
        }

        if fdIsSet(input, &readable) != 0 {
            let count = read(input, typed.memory + typed.last, typed.free)
            if count < 0 { try failed("read") }
            if count == 0 { keyboardIsOpen = false }
            if count > 0 { typed.last += count }
        }
        if fdIsSet(socket, &writable) != 0 {
            let count = send(socket, typed.memory + typed.first, typed.last - typed.first, MSG_NOSIGNAL | MSG_DONTWAIT)
            if count < 0 { try failed("send") } else { typed.first += count }
            typed.tidy()
        }
        if !keyboardIsOpen && typed.isEmpty && !isHalfClosed {
            isHalfClosed = true
            shutdown(socket, SHUT_WR)
        }
        if fdIsSet(output, &writable) != 0 {
            let count = write(output, heard.memory + heard.first, min(4096, heard.last - heard.first))
            if count < 0 { try failed("write") } else { heard.first += count }
            heard.tidy()
        }
        if fdIsSet(socket, &readable) != 0 {
            let count = recv(socket, heard.memory + heard.last, heard.free, MSG_DONTWAIT)
            if count < 0 { try failed("recv") }
            if count == 0 { return }
            if count > 0 { heard.last += count }
        }
    }
}
