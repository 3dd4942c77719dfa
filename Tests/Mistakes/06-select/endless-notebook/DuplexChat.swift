import Course
import Sockets

private enum Outcome {
    case bytes([UInt8])
    case end
    case nothing
}

private struct Ends {
    let socket: Int32
    let input: Int32
    let output: Int32

    var highest: Int32 { max(socket, max(input, output)) }

    func listen() throws -> Outcome { try outcome("recv") { recv(socket, $0.baseAddress, $0.count, MSG_DONTWAIT) } }
    func type() throws -> Outcome { try outcome("read") { read(input, $0.baseAddress, $0.count) } }

    func tell(_ bytes: ArraySlice<UInt8>) throws -> Int {
        try progress("send") {
            bytes.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, MSG_NOSIGNAL | MSG_DONTWAIT) }
        }
    }

    func show(_ bytes: ArraySlice<UInt8>) throws -> Int {
        try progress("write") { bytes.prefix(4096).withUnsafeBytes { write(output, $0.baseAddress, $0.count) } }
    }

    private func outcome(_ call: String, _ body: (UnsafeMutableRawBufferPointer) -> Int) throws -> Outcome {
        var room = [UInt8](repeating: 0, count: 8192)
        let count = room.withUnsafeMutableBytes(body)
        if count > 0 { return .bytes(Array(room[0..<count])) }
        if count == 0 { return .end }
        if errno == EINTR || errno == EAGAIN { return .nothing }
        throw SocketError(call, errno)
    }

    private func progress(_ call: String, _ body: () -> Int) throws -> Int {
        let count = body()
        if count >= 0 { return count }
        if errno == EINTR || errno == EAGAIN { return 0 }
        throw SocketError(call, errno)
    }
}

func duplexChat(socket: Int32, input: Int32, output: Int32) throws {
    let ends = Ends(socket: socket, input: input, output: output)
    if ends.highest >= FD_SETSIZE { throw SocketError("select", EMFILE) }

    var toPeer: ArraySlice<UInt8> = []
    var toScreen: ArraySlice<UInt8> = []
    var typing = true
    var peerSpeaks = true
    var farewellSaid = false

    while peerSpeaks || !toScreen.isEmpty {
        var reading = fd_set()
        var writing = fd_set()
        fdZero(&reading)
        fdZero(&writing)
        if typing { fdSet(input, &reading) }
        if peerSpeaks && toScreen.isEmpty { fdSet(socket, &reading) }
        if !toPeer.isEmpty && peerSpeaks { fdSet(socket, &writing) }
        if !toScreen.isEmpty { fdSet(output, &writing) }

        guard select(ends.highest + 1, &reading, &writing, nil, nil) >= 0 else {
            if errno == EINTR { continue }
            throw SocketError("select", errno)
        }

        if fdIsSet(input, &reading) != 0 {
            switch try ends.type() {
            case .bytes(let line): toPeer += line
            case .end: typing = false
            case .nothing: break
            }
        }
        if fdIsSet(socket, &reading) != 0 {
            switch try ends.listen() {
            case .bytes(let words): toScreen += words
            case .end: peerSpeaks = false
            case .nothing: break
            }
        }
        if fdIsSet(socket, &writing) != 0 { toPeer = toPeer.dropFirst(try ends.tell(toPeer)) }
        if fdIsSet(output, &writing) != 0 { toScreen = toScreen.dropFirst(try ends.show(toScreen)) }

        if toPeer.isEmpty { toPeer = [] }
        if toScreen.isEmpty { toScreen = [] }
        if !typing && toPeer.isEmpty && !farewellSaid {
            farewellSaid = true
            shutdown(socket, SHUT_WR)
        }
    }
}
