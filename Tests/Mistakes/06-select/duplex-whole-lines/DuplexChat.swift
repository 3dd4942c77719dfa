import Course
import Sockets

/// What is typed goes out line by line; a line that gets too long goes in parts, as a terminal does it.
private struct LineEditor {
    private var line: [UInt8] = []
    private(set) var ready: [UInt8] = []

    mutating func type(_ bytes: ArraySlice<UInt8>) {
        for byte in bytes {
            line.append(byte)
            if byte == UInt8(ascii: "\n") || line.count == 4096 {
                ready += line
                line.removeAll(keepingCapacity: true)
            }
        }
    }

    mutating func gone(_ count: Int) { ready.removeFirst(count) }
}

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let top = max(input, output, socket)
    guard top < Int32(FD_SETSIZE) else { throw SocketError("select", EMFILE) }
    var editor = LineEditor()
    var heard: [UInt8] = []
    var inputIsOpen = true, peerIsOpen = true, mayStillSend = true
    var buffer = [UInt8](repeating: 0, count: 4096)

    func passes(_ count: Int, _ call: String) throws -> Bool {
        if count >= 0 { return true }
        if errno == EINTR || errno == EAGAIN { return false }
        throw SocketError(call, errno)
    }

    repeat {
        var r = fd_set(), w = fd_set()
        fdZero(&r)
        fdZero(&w)
        if inputIsOpen && editor.ready.isEmpty { fdSet(input, &r) }
        if peerIsOpen && heard.isEmpty { fdSet(socket, &r) }
        if !editor.ready.isEmpty { fdSet(socket, &w) }
        if !heard.isEmpty { fdSet(output, &w) }
        if select(top + 1, &r, &w, nil, nil) < 0 {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        if fdIsSet(socket, &r) != 0 {
            let count = recv(socket, &buffer, buffer.count, MSG_DONTWAIT)
            if try passes(count, "recv") {
                heard = Array(buffer[..<count])
                peerIsOpen = count > 0
            }
        } else if fdIsSet(output, &w) != 0 {
            let count = write(output, heard, heard.count)
            if try passes(count, "write") { heard.removeFirst(count) }
        }

        if fdIsSet(input, &r) != 0 {
            let count = read(input, &buffer, buffer.count)
            if try passes(count, "read") {
                editor.type(buffer[..<count])
                inputIsOpen = count > 0
            }
        } else if fdIsSet(socket, &w) != 0 {
            let count = send(socket, editor.ready, editor.ready.count, MSG_DONTWAIT | MSG_NOSIGNAL)
            if try passes(count, "send") { editor.gone(count) }
        }

        if mayStillSend && !inputIsOpen && editor.ready.isEmpty {
            mayStillSend = false
            shutdown(socket, SHUT_WR)
        }
    } while peerIsOpen || !heard.isEmpty
}
